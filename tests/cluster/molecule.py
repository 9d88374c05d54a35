"""Run every molecule scenario against the lab of this run: create, converge, idempotence, verify, destroy."""

from __future__ import annotations

import os
import subprocess
import sys

from tests import lab


def main() -> int:
    if not lab.borrowed():
        os.environ.update(lab.start())
    code = 0
    for scenario in sorted(path.parent.name for path in lab.ROOT.glob("molecule/*/molecule.yml")):
        print(f"\n--- molecule test -s {scenario}", flush=True)
        code = subprocess.run(["molecule", "test", "-s", scenario], cwd=lab.ROOT, check=False).returncode or code
    return code


if __name__ == "__main__":
    sys.exit(main())
