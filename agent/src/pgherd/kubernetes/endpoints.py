"""The lock as Endpoints (https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoints-v1/).

Endpoints are deprecated since Kubernetes 1.33; the API server says so in a Warning header, which changes nothing. They
name the primary's address for people and for what looks at them, in one write with the lock; the label keeps the
controller away that would mirror them for kube-proxy, with every renewal (kubernetes/route.py).
"""

from __future__ import annotations

import itertools
from typing import Any

from lightkube.resources.core_v1 import Endpoints

from pgherd.kubernetes.annotated import PORT_NAME, Kind, target
from pgherd.model.lease import Lease


def _address(item: Endpoints) -> str | None:
    addresses = itertools.chain.from_iterable(subset.addresses or () for subset in item.subsets or ())
    return next((address.ip for address in addresses), None)


def _routing(record: Lease, namespace: str, port: int) -> dict[str, Any]:
    """None removes all subsets."""
    if record.address is None:
        return {"subsets": None}
    addresses = [{"ip": record.address, "targetRef": target(record, namespace)}]
    return {"subsets": [{"addresses": addresses, "ports": [{"name": PORT_NAME, "port": port, "protocol": "TCP"}]}]}


SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"

ENDPOINTS = Kind(Endpoints, "endpoints", _address, _routing, lambda service: {"labels": {SKIP_MIRROR: "true"}})
