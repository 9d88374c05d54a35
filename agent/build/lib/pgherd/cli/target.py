"""Which cluster, through which API: from the pod's settings, or from options anywhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from pgherd.model.settings import InvalidSetting, RestSettings, Settings, read_settings

DEFAULT_SETTINGS = "/etc/pgherd/pgherd.yaml"


class Asked(msgspec.Struct, frozen=True):
    """The command line's options; None where not given."""

    cluster: str | None = None
    namespace: str | None = None
    kubeconfig: str | None = None
    label_prefix: str | None = None
    certificates: str | None = None


class Target(msgspec.Struct, frozen=True):
    cluster: str
    namespace: str
    """Empty: the kubeconfig's or the service account's own."""
    kubeconfig: str | None
    """None: the pod's service account."""
    label_prefix: str
    members: tuple[str, ...]
    """Declared members; empty when only the API can tell."""
    certificates: str | None
    """Folder with ca.crt and, for a client certificate, tls.crt and tls.key; None: the agents are not asked."""
    rest_port: int
    postgres_port: int
    lock: str | None = None
    """Kind of the lock object (model.settings.LOCKS); None: whichever is there."""


def find(asked: Asked, environ: Mapping[str, str] = os.environ) -> Target:
    """Raises InvalidSetting with a sentence that says what is missing."""
    if asked.cluster is not None:
        return _outside(asked, asked.cluster, environ)
    settings = _settings(Path(environ.get("PGHERD_SETTINGS", DEFAULT_SETTINGS)))
    return Target(
        cluster=settings.cluster,
        namespace=asked.namespace or environ.get("PGHERD_NAMESPACE", ""),
        kubeconfig=asked.kubeconfig or settings.kubernetes.kubeconfig,
        label_prefix=asked.label_prefix or settings.label_prefix,
        members=settings.members,
        certificates=asked.certificates or settings.rest.certificates,
        rest_port=settings.rest.port,
        postgres_port=settings.postgres.port,
        lock=settings.kubernetes.lock,
    )


def _settings(path: Path) -> Settings:
    try:
        return read_settings(path.read_text())
    except OSError as error:
        raise InvalidSetting(
            f"no settings file: {path}: {error.strerror};"
            " run this in a pod of the cluster, or name the cluster with --cluster (and --kubeconfig, --namespace)"
        ) from None


def _outside(asked: Asked, cluster: str, environ: Mapping[str, str]) -> Target:
    in_pod = "KUBERNETES_SERVICE_HOST" in environ
    ambient = environ.get("KUBECONFIG", "").split(os.pathsep)[0] or str(Path("~/.kube/config").expanduser())
    return Target(
        cluster=cluster,
        namespace=asked.namespace or "",
        kubeconfig=asked.kubeconfig or (None if in_pod else ambient),
        label_prefix=asked.label_prefix or "pgherd.dev/",
        members=(),
        certificates=asked.certificates,
        rest_port=RestSettings().port,
        postgres_port=5432,
    )
