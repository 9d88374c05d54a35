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
