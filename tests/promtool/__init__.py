"""promtool, compiled from the Go module pinned here and kept in the lab's cache, outside the checkout.

Minutes the first time, nothing after that. Without service discovery (tag remove_all_sd), which no rule needs.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from pgherd_lab.build import environment, go
from pgherd_lab.locks import locked
from pgherd_lab.paths import cache_folder
from pgherd_lab.process import run

HERE = Path(__file__).resolve().parent
PACKAGE = "github.com/prometheus/prometheus/cmd/promtool"
FLAGS = ("-trimpath", "-tags", "remove_all_sd", "-ldflags", "-s -w")
LIMIT = 1800.0


def _say(text: str) -> None:
    print(f"promtool: {text}", flush=True)


def promtool() -> Path:
    """The program, compiled if it is not there."""
    digest = hashlib.sha256(repr(FLAGS).encode())
    for name in ("go.mod", "go.sum"):
        digest.update((HERE / name).read_bytes())
    home = cache_folder()
    program = home / f"promtool-{digest.hexdigest()[:16]}"
    if program.exists():
        return program
    home.mkdir(parents=True, exist_ok=True)
    with locked(home / "promtool.lock", "another build of promtool", _say):
        if not program.exists():
            _say("compiling it from its Go module, which takes some minutes once")
            work = Path(tempfile.mkdtemp(prefix="promtool-", dir=home))
            try:
                command = [go(_say), "build", *FLAGS, "-o", str(work / "promtool"), PACKAGE]
                run(command, LIMIT, environment=environment(home), folder=HERE)
                (work / "promtool").rename(program)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return program
