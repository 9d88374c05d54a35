"""The first process of a node: makes the node's mounts, starts its programs, and collects orphans until it is killed.

Runs twice: `enter` on the machine (joins the node's cgroups, then becomes `unshare`), and `boot` as PID 1 inside the
new namespaces. Everything in the node dies with PID 1. Imports nothing of the lab: it is started by path.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

HOME = Path("/run/lab")
SOCKET = Path("/run/containerd/containerd.sock")
CGROUPS = Path("/sys/fs/cgroup")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def mounts(kinds: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """(mount point, type, super block's options) of this namespace's mounts of these types."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in kinds:
            found.append((before.split()[4], kind, options))
    return found


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, timeout=30)


def enter(netns: str, lab: str, node: str, rest: list[str]) -> None:
    """Join the node's cgroups, so that the cgroup namespace is rooted there, and become the node's outer process."""
    for point, _, _ in mounts(("cgroup", "cgroup2")):
        target = Path(point) / lab / node
        if target.is_dir():
            (target / "cgroup.procs").write_text(str(os.getpid()))
    os.execvp("nsenter", [
        "nsenter", f"--net={netns}", "unshare", "--mount", "--uts", "--pid", "--cgroup", "--fork",
        "--kill-child", "--mount-proc", sys.executable, "-I", __file__, "boot", node, *rest,
    ])  # fmt: skip


def own_cgroups() -> None:
    """Mount the cgroup trees anew: in this cgroup namespace their root is the node's own cgroup."""
    for point, kind, options in mounts(("cgroup", "cgroup2")):
        wanted = [] if kind == "cgroup2" else [option for option in options.split(",") if option not in ("rw", "ro")]
        subprocess.run(["umount", point], check=True, timeout=30)
        named = [option for option in wanted if option.startswith("name=")]
        chosen = ["none", *named] if named else [o for o in wanted if o not in ("xattr", "release_agent")]
        mount("-t", kind, *(["-o", ",".join(chosen)] if chosen else []), "cgroup", point)
        leave_root(Path(point))


def leave_root(point: Path) -> None:
    """Version 2 allows processes only in leaves: move into one, then pass the controllers on."""
    if not (point / "cgroup.subtree_control").exists():
        return
    leaf = point / "init"
    leaf.mkdir(exist_ok=True)
    for pid in (point / "cgroup.procs").read_text().split():
        if pid != "0":
            (leaf / "cgroup.procs").write_text(pid)
    for name in (point / "cgroup.controllers").read_text().split():
        try:
            (point / "cgroup.subtree_control").write_text(f"+{name}")
        except OSError:
            continue


def own_mounts(folder: Path) -> None:
    """A private /run and /var/log, and the node's folder bound below /run/lab; shared inside, for the pods."""
    mount("--make-rprivate", "/")
    own_cgroups()
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    mount("-t", "tmpfs", "-o", "mode=755", "node", "/run")
    for path in (HOME, SOCKET.parent, Path("/run/lock")):
        path.mkdir(parents=True, exist_ok=True)
    mount("--bind", f"/proc/{os.getpid()}/fd/{descriptor}", str(HOME))
    os.close(descriptor)
    mount("--bind", str(HOME / "log"), "/var/log")
    try:
        mount("-o", "loop,noatime", str(HOME / "volumes.img"), str(HOME / "volumes"))
    except subprocess.CalledProcessError:
        say("no loop device: volumes share the machine's disk, fill-volume is refused")
    (HOME / "volumes").chmod(0o777)
    mount("--make-rshared", "/")


def raise_limits() -> None:
    """As many open files as allowed; 20,000 are enough."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def start(programs: str, name: str, command: list[str]) -> int:
    log = os.open(f"/var/log/{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    environment = {**os.environ, "PATH": f"{programs}:{PATH}"}
    actions = [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
    command = [f"{programs}/{command[0]}", *command[1:]]
    pid = os.posix_spawn(command[0], command, environment, file_actions=actions, setsid=True)
    os.close(log)
    say(f"started {name} as {pid}")
    return pid


def import_images(programs: str, archives: list[str]) -> None:
    """Images that every node has from its first moment; a mark beside the image store remembers them."""
    end = time.monotonic() + 30
    while not SOCKET.exists():
        if time.monotonic() > end:
            raise SystemExit("containerd made no socket within 30 s, see containerd.log")
        time.sleep(0.02)
    for archive in archives:
        mark = HOME / "containerd" / f".has-{Path(archive).name}"
        if mark.exists():
            continue
        command = [f"{programs}/ctr", "-a", str(SOCKET), "-n", "k8s.io", "images", "import", "--local", archive]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise SystemExit(f"image {archive} cannot be imported: {done.stderr.strip()}")
        mark.touch()
        say(f"imported {archive}")


def keep(programs: str, commands: dict[str, list[str]], running: dict[int, str]) -> None:
    """Collect what ends; start the node's own programs again after a second, as a service manager would."""
    while True:
        pid, status = os.wait()
        name = running.pop(pid, None)
        if name:
            say(f"{name} ended with status {status}, starting it again")
            time.sleep(1)
            running[start(programs, name, commands[name])] = name


def boot(node: str, folder: str, programs: str, archives: list[str]) -> None:
    Path("/proc/sys/kernel/hostname").write_text(node)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise_limits()
    own_mounts(Path(folder))
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    commands = json.loads((HOME / "programs.json").read_text())
    running = {start(programs, "containerd", commands["containerd"]): "containerd"}
    import_images(programs, archives)
    for name in ("kubelet", "kube-proxy"):
        running[start(programs, name, commands[name])] = name
    keep(programs, commands, running)


if __name__ == "__main__":
    if sys.argv[1] == "enter":
        enter(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:])
    else:
        boot(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:])
