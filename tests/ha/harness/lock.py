"""Lock and configuration objects in both modes (`kubernetes.lock`), as the play makes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lightkube import Client
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule
from lightkube.resources import core_v1, discovery_v1
from lightkube.types import PatchType

VERBS = ["get", "list", "watch", "patch"]


@dataclass(frozen=True)
class LockObjects:
    client: Client
    cluster: str
    mode: str

    @property
    def name(self) -> str:
        return f"{self.cluster}-ha"

    @property
    def _config(self) -> Any:
        return core_v1.ConfigMap if self.mode == "endpointslice" else core_v1.Endpoints

    @property
    def _lock(self) -> Any:
        return discovery_v1.EndpointSlice if self.mode == "endpointslice" else core_v1.Endpoints

    def create(self, configuration: Mapping[str, Any], ttl: float) -> None:
        self.create_lock(ttl)
        self.create_route()
        config = {"config": json.dumps(configuration)}
        self.client.create(self._config(metadata=ObjectMeta(name=f"{self.cluster}-ha-config", annotations=config)))

    def configure(self, configuration: Mapping[str, Any]) -> None:
        """As a person's change of the dynamic configuration."""
        body = {"metadata": {"annotations": {"config": json.dumps(configuration)}}}
        self.client.patch(self._config, f"{self.cluster}-ha-config", body, patch_type=PatchType.MERGE)

    def create_lock(self, ttl: float) -> None:
        free = {"transitions": "0", "released": "0", "ttl": f"{ttl:g}"}
        if self.mode == "endpointslice":
            metadata = ObjectMeta(name=self.name, annotations=free, labels={"service.kubernetes.io/headless": ""})
            self.client.create(discovery_v1.EndpointSlice("IPv4", metadata=metadata, endpoints=[]))
        else:
            self.client.create(core_v1.Endpoints(metadata=ObjectMeta(name=self.name, annotations=free)))

    def create_route(self) -> None:
        metadata = ObjectMeta(name=f"{self.name}-route", labels={"kubernetes.io/service-name": self.name})
        self.client.create(discovery_v1.EndpointSlice("IPv4", metadata=metadata, endpoints=[]))

    def delete_lock(self) -> None:
        self.client.delete(self._lock, self.name)

    def rules(self) -> list[PolicyRule]:
        """Exactly what the play grants the agents; a create cannot be restricted to a name."""
        names = [self.name, f"{self.name}-config"]
        groups, slices, sliced = ["discovery.k8s.io"], ["endpointslices"], self.mode == "endpointslice"
        own = [f"{self.name}-route", f"{self.name}-route-ipv6", *(names[:1] if sliced else [])]
        route = [
            PolicyRule(VERBS, apiGroups=groups, resources=slices, resourceNames=own),
            PolicyRule(["create"], apiGroups=groups, resources=slices),
        ]
        if sliced:
            return [*route, PolicyRule(VERBS, apiGroups=[""], resources=["configmaps"], resourceNames=names[1:])]
        return [
            *route,
            PolicyRule(VERBS, apiGroups=[""], resources=["endpoints"], resourceNames=names),
            PolicyRule(["create"], apiGroups=[""], resources=["endpoints"]),
        ]

    def lock(self) -> Any:
        return self.client.get(self._lock, self.name)

    def route(self) -> Any:
        return self.client.get(discovery_v1.EndpointSlice, f"{self.name}-route")

    def delete_route(self) -> None:
        self.client.delete(discovery_v1.EndpointSlice, f"{self.name}-route")

    def send_clients(self, address: str) -> None:
        """As somebody who edits the route by hand."""
        body = {"endpoints": [{"addresses": [address]}]}
        self.client.patch(discovery_v1.EndpointSlice, f"{self.name}-route", body, patch_type=PatchType.MERGE)

    def routed(self) -> list[str]:
        """Where Service `<cluster>-ha` leads to."""
        return [address for endpoint in self.route().endpoints or [] for address in endpoint.addresses]

    def address(self) -> str | None:
        """Whom the lock names as writable."""
        lock = self.lock()
        if self.mode == "endpointslice":
            return next((address for endpoint in lock.endpoints or [] for address in endpoint.addresses), None)
        return next((address.ip for subset in lock.subsets or [] for address in subset.addresses or []), None)

    def history(self) -> list[dict[str, Any]]:
        metadata = self.client.get(self._config, f"{self.cluster}-ha-config").metadata
        text = (metadata.annotations or {}).get("history") if metadata else None
        return list(json.loads(text)) if text else []
