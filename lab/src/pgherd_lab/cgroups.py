"""The lab's cgroups, on version 1 (a tree per controller), version 2 (one tree) and machines that have both.

A lab owns /NAME in every tree and each of its nodes /NAME/NODE; a node sees only that, as its root. Which process
belongs to which container is read from here, from outside, where the container cannot interfere.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def parse_mounts(text: str) -> list[tuple[str, str, str]]:
    """(mount point, type, options of the super block) of every cgroup tree in a /proc/PID/mountinfo."""
    found = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            found.append((before.split()[4], kind, options))
    return found


def parse_membership(text: str) -> set[str]:
    """The paths in a /proc/PID/cgroup, one per tree."""
    return {line.split(":", 2)[2] for line in text.splitlines() if line.count(":") >= 2}


def hierarchies() -> list[Path]:
    """Mount points of the machine's cgroup trees."""
    mounts = parse_mounts(Path("/proc/self/mountinfo").read_text())
    return [Path(point) for point, _, _ in mounts if Path(point) == ROOT or ROOT in Path(point).parents]


def delegate(folder: Path) -> None:
    """Version 2: let children of this cgroup use all controllers that it has; nothing to do on version 1."""
    control = folder / "cgroup.subtree_control"
    if not control.exists():
        return
    for name in (folder / "cgroup.controllers").read_text().split():
        try:
            control.write_text(f"+{name}")
        except OSError:
            continue


def copy_cpuset(folder: Path) -> None:
    """Version 1: a cpuset starts empty and then takes no process."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        own, above = folder / name, folder.parent / name
        if own.exists() and above.exists() and not own.read_text().strip():
            own.write_text(above.read_text())


def create(*path: str) -> list[Path]:
    """/PATH in every tree, with controllers delegated down to it."""
    made = []
    for root in hierarchies():
        folder = root
        for part in path:
            delegate(folder)
            folder = folder / part
            folder.mkdir(exist_ok=True)
            copy_cpuset(folder)
        made.append(folder)
    return made


def enter(folders: list[Path], pid: int) -> None:
    for folder in folders:
        (folder / "cgroup.procs").write_text(str(pid))


def members(*path: str) -> list[int]:
    """Every process in /PATH of any tree or below it, by pid of the machine."""
    found: set[int] = set()
    for root in hierarchies():
        for folder, _, files in os.walk(root.joinpath(*path)):
            if "cgroup.procs" in files:
                try:
                    found |= {int(line) for line in (Path(folder) / "cgroup.procs").read_text().split()}
                except OSError:
                    continue
    return sorted(found)


def of_container(identity: str, *path: str) -> list[int]:
    """Processes whose cgroup's name holds this container id, below /PATH of any tree, youngest pid last."""
    return [pid for pid in members(*path) if any(identity in each for each in membership(pid))]


def membership(pid: int) -> set[str]:
    try:
        return parse_membership(Path(f"/proc/{pid}/cgroup").read_text())
    except OSError:
        return set()


def remove(*path: str, limit: float = 5.0) -> list[Path]:
    """Remove /PATH and everything below it from every tree; returns what the kernel still holds."""
    end = time.monotonic() + limit
    while True:
        left = []
        for root in hierarchies():
            for folder, _, _ in os.walk(root.joinpath(*path), topdown=False):
                try:
                    Path(folder).rmdir()
                except OSError as error:
                    if error.errno not in (errno.ENOENT, errno.ENODEV):
                        left.append(Path(folder))
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.05)
