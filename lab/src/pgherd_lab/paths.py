"""Where things live. The state of one lab is one folder; what all labs share (programs, images) is the cache.

Nothing is created by importing this; a `Layout` only knows names.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/pgherd`: programs, base image, wheels, image archives. Safe to delete when no lab is up."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pgherd"


def state_folder() -> Path:
    """`$PGHERD_LAB`, else `$XDG_STATE_HOME/pgherd/lab`."""
    if given := os.environ.get("PGHERD_LAB"):
        return Path(given).absolute()
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "pgherd" / "lab"


def upstream_folder() -> Path:
    """The Go module that pins Kubernetes and the other programs: `lab/upstream` of the checkout."""
    return Path(__file__).resolve().parents[2] / "upstream"


def agent_folder() -> Path:
    """`agent` of the checkout: what the image is built from."""
    return Path(__file__).resolve().parents[3] / "agent"


def name_of(state: Path) -> str:
    """The lab's name: short, the same for the same folder, different for another."""
    return "lab" + hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:6]


@dataclass(frozen=True)
class Layout:
    """Names of files and folders of one lab."""

    state: Path

    @property
    def name(self) -> str:
        return name_of(self.state)

    @property
    def facts(self) -> Path:
        return self.state / "lab.json"

    @property
    def lock(self) -> Path:
        return self.state / "lock"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def processes(self) -> Path:
        return self.state / "processes"

    @property
    def etcd(self) -> Path:
        return self.state / "etcd"

    @property
    def audit_policy(self) -> Path:
        """Written by whoever wants the API server to keep an audit log; read when the server starts."""
        return self.state / "audit-policy.yaml"

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit.jsonl"

    @property
    def kubeconfig(self) -> Path:
        """For people: reaches the API through the forwarder on 127.0.0.1."""
        return self.state / "admin.kubeconfig"

    def inside(self, who: str) -> Path:
        """The kubeconfig of a component, for use inside the lab's network."""
        return self.pki / f"{who}.kubeconfig"

    def node(self, node: str) -> Path:
        return self.state / "nodes" / node

    @property
    def control_namespace(self) -> str:
        return f"{self.name}-control"

    def node_namespace(self, node: str) -> str:
        return f"{self.name}-{node}"
