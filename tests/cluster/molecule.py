"""Run molecule scenarios against the lab of this run: create, converge, idempotence, what each adds, verify, destroy.

Without names all there are, `default` first.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests import lab


def scenarios() -> list[str]:
    found = {path.parent.name for path in lab.ROOT.glob("molecule/*/molecule.yml")}
    return sorted(found, key=lambda name: (name != "default", name))


def main(names: list[str]) -> int:
    if not lab.borrowed():
        os.environ.update(lab.start())
    code = 0
    for scenario in names or scenarios():
        print(f"\n--- molecule test -s {scenario}", flush=True)
        code = subprocess.run(["molecule", "test", "-s", scenario], cwd=lab.ROOT, check=False).returncode or code
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
