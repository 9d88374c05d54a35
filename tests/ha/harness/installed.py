"""The PostgreSQL that the process tests use: the newest one of this machine, installed through apt if there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

MAJORS = range(14, 19)
COMMON = Path("/etc/postgresql-common/createcluster.conf")


def newest() -> int | None:
    """The newest supported major with a server."""
    found = [int(path.parent.parent.name) for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max((major for major in found if major in MAJORS), default=None)


def ensure() -> int:
    """Its major. Debian's package would start a server of its own: it is told not to before it is installed."""
    if (major := newest()) is not None:
        return major
    if os.geteuid() or shutil.which("apt-get") is None:
        raise RuntimeError("no PostgreSQL 14 to 18 in /usr/lib/postgresql: install Debian's package postgresql")
    print("installing Debian's package postgresql (no server of it is started)", flush=True)
    COMMON.parent.mkdir(parents=True, exist_ok=True)
    if not COMMON.exists():
        COMMON.write_text("create_main_cluster = false\n")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "-qq", "--no-install-recommends", "postgresql"]
    subprocess.run(["apt-get", "update", "-qq"], env=quiet, timeout=300, check=True)
    subprocess.run(install, env=quiet, timeout=600, check=True, stdout=subprocess.DEVNULL)
    major = newest()
    if major is None:
        raise RuntimeError("Debian's package postgresql brought no server between 14 and 18")
    return major
