"""The lab that the cluster and molecule doors share: started once a run, ended by the runner.

With PGHERD_KUBECONFIG and PGHERD_IMAGE both set, that cluster is used instead and none is started.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".build" / "test-lab"
COMMAND = (sys.executable, "-m", "pgherd_lab")


def borrowed() -> bool:
    """Whether the tests were given a cluster (somebody's, or the runner's lab)."""
    return bool(os.environ.get("PGHERD_KUBECONFIG") and os.environ.get("PGHERD_IMAGE"))


def _lab(*arguments: str, limit: float = 2400) -> str:
    environment = {**os.environ, "PGHERD_LAB": str(STATE)}
    done = subprocess.run(
        [*COMMAND, *arguments], env=environment, stdout=subprocess.PIPE, text=True, timeout=limit, check=True
    )
    return done.stdout.strip()


class Build:
    """The upstream programs, compiled beside the doors that do not need them; a moment where they are there already."""

    def __init__(self, log: Path) -> None:
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as output:
            self._process = subprocess.Popen([*COMMAND, "build"], stdout=output, stderr=output)

    def wait(self) -> None:
        """With its last words every half minute. Raises RuntimeError with them when it failed."""
        while True:
            try:
                code = self._process.wait(30)
                break
            except subprocess.TimeoutExpired:
                print(f"waiting for the programs of the lab: {self._last()}", flush=True)
        if code:
            raise RuntimeError(f"pgherd-lab build ended with {code}: {self._last()}")

    def stop(self) -> None:
        """Without effect when it has ended; what was compiled is kept by Go's cache."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)

    def _last(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it says nothing yet"


def start() -> dict[str, str]:
    """Lab up, image on every node; the environment by which pytest and molecule reach them."""
    if borrowed():
        return {key: os.environ[key] for key in ("PGHERD_KUBECONFIG", "PGHERD_IMAGE")}
    print("\n--- the lab of this run", flush=True)
    _lab("doctor", "--install")
    _lab("build")
    _lab("up")
    image = _lab("image")
    kubeconfig = _lab("kubeconfig")
    return {"PGHERD_LAB": str(STATE), "PGHERD_KUBECONFIG": kubeconfig, "PGHERD_IMAGE": image}


def stop() -> None:
    """End the lab of this run, if there is one."""
    if STATE.exists():
        _lab("down", "--purge")
