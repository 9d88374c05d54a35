"""The account of the plays: exactly the rights in docs/role.yaml, with the variables that AWX's credential sets."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pgherd_lab.demo.console import output

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "docs" / "role.yaml"
VARIABLES = frozenset({
    "KUBECONFIG", "K8S_AUTH_KUBECONFIG", "K8S_AUTH_CONTEXT", "K8S_AUTH_HOST", "K8S_AUTH_API_KEY",
    "K8S_AUTH_VERIFY_SSL", "K8S_AUTH_SSL_CA_CERT",
})  # fmt: skip
"""By which a play could find a way to the API."""


def made(kubectl: Sequence[str], kubeconfig: str, namespace: str, folder: Path) -> dict[str, str]:
    """Environment variables for it: host, token, authority, and no kubeconfig."""
    text = ROLE.read_text().replace("namespace: databases", f"namespace: {namespace}")
    output((*kubectl, "apply", "-f", "-"), stdin=text)
    token = output((*kubectl, "--namespace", namespace, "create", "token", "pgherd-play")).strip()
    cluster: Mapping[str, Any] = yaml.safe_load(Path(kubeconfig).read_text())["clusters"][0]["cluster"]
    authority = folder / "ca.crt"
    if "certificate-authority-data" in cluster:
        authority.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    else:
        authority.write_bytes(Path(cluster["certificate-authority"]).read_bytes())
    return {
        "K8S_AUTH_HOST": cluster["server"],
        "K8S_AUTH_API_KEY": token,
        "K8S_AUTH_VERIFY_SSL": "True",
        "K8S_AUTH_SSL_CA_CERT": str(authority),
    }
