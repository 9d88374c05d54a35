"""A Python that the members' unprivileged user may run: root's own may lie where only root looks."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

USER = "postgres"
"""Debian's: initdb wants a user with a name."""
REPOSITORY = Path(__file__).parents[3]


@functools.cache
def interpreter() -> str:
    as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "sh", "-c", 'exec "$0" -c ""']
    for candidate in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        if subprocess.run([*as_user, candidate], check=False, capture_output=True, timeout=30).returncode == 0:
            return candidate
    raise RuntimeError(f"no Python 3.{sys.version_info.minor} that user {USER} may run")


def python_path() -> str:
    """The agent and what it needs, for whichever interpreter it is."""
    packages = [path for path in sys.path if path.startswith("/") and path.endswith("site-packages")]
    return os.pathsep.join([*packages, str(REPOSITORY / "agent/src")])
