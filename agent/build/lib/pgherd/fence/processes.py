"""The processes of this pid namespace, read from /proc, and how they are started and ended.

Only the fence reaps its children, so the pid of an unreaped child cannot belong to another process.
"""

# pathlib stays out: every module costs the fence memory.
# ruff: noqa: PTH116, PTH123, PTH208
from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping, Sequence

Directory = tuple[int, int]
"""Device and inode."""


def _parents() -> dict[int, int]:
    """Every living process and its parent; zombies are left out, since they do nothing any more."""
    found: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                state, parent = file.read().rpartition(b")")[2].split()[:2]
        except (OSError, ValueError):  # it ended meanwhile
            continue
        if state not in (b"Z", b"X"):
            found[int(name)] = int(parent)
    return found


def under(root: int) -> set[int]:
    """`root` and all its living descendants."""
    parents = _parents()
    tree = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in tree} - tree
        if not more:
            return tree & parents.keys()
        tree |= more


def strangers(postmaster: int | None) -> set[int]:
    """Everything that is neither this process, nor the postmaster, nor below the postmaster."""
    spared = under(postmaster) if postmaster else set()
    return _parents().keys() - spared - {os.getpid()}


def working_in(directories: Iterable[Directory]) -> set[int]:
    """Living processes whose working directory is one of `directories`, whatever name it has by now."""
    wanted = set(directories)
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                status = os.stat(f"/proc/{name}/cwd")
            except OSError:  # ended, a zombie, or another user's
                continue
            if (status.st_dev, status.st_ino) in wanted:
                found.add(int(name))
    return found - {os.getpid()}


def send(pids: Iterable[int], signum: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            pass


def reap() -> list[tuple[int, int]]:
    """(pid, wait status) of every child that ended, orphans included."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if not pid:
            return ended
        ended.append((pid, status))


def spawn(argv: Sequence[str], environ: Mapping[str, str], keep: Iterable[int], output: str | None = None) -> int:
    """Start `argv` in a session of its own with the open files `keep`; stdout and stderr go to `output` if given."""
    pid = os.fork()
    if pid:
        return pid
    try:
        _become(argv, environ, keep, output)
    except BaseException as error:
        os.write(2, f"cannot run {argv[0]}: {error}\n".encode())
    os._exit(127)


def _become(argv: Sequence[str], environ: Mapping[str, str], keep: Iterable[int], output: str | None) -> None:
    """In the child: undo what is the fence's alone, then exec."""
    signal.set_wakeup_fd(-1)
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)
    os.setsid()
    if os.getpriority(os.PRIO_PROCESS, 0) < 0:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if output:
        target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(target, 1)
        os.dup2(target, 2)
    for fd in keep:
        os.set_inheritable(fd, True)
    os.execvpe(argv[0], list(argv), dict(environ))
