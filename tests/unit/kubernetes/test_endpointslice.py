"""The lock as an EndpointSlice, its configuration as a ConfigMap; and a lock that is made anew, in both modes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import msgspec
import pytest
from lightkube.config.kubeconfig import KubeConfig
from lightkube.config.models import Cluster, User
from lightkube.core.async_client import AsyncClient

from pgherd.kubernetes.annotated import AnnotatedLock
from pgherd.kubernetes.open import KINDS, open_config
from pgherd.kubernetes.store import Conflict, LockSeen
from pgherd.model.lease import Holder, Lease
from pgherd.model.settings import LOCKS, InvalidSetting, read_settings

RECORD = Lease(leader="demo-0", epoch=3, ttl=10, holder=Holder("u1", "c1", "nonce", 2, 2, serial=9), address="10.0.0.1")
PATHS = {
    "endpoints": "/api/v1/namespaces/ns/endpoints",
    "endpointslice": "/apis/discovery.k8s.io/v1/namespaces/ns/endpointslices",
}
CONFIGS = {"endpoints": "/api/v1/namespaces/ns/endpoints", "endpointslice": "/api/v1/namespaces/ns/configmaps"}


class Server:
    """Answers a write with what it would have become; remembers every request."""

    def __init__(self, code: int = 200) -> None:
        self.code = code
        self.requests: list[tuple[str, str, dict[str, Any]]] = []

    def client(self) -> AsyncClient:
        def handle(request: httpx2.Request) -> httpx2.Response:
            body = json.loads(request.content or b"{}")
            self.requests.append((request.method, request.url.path, body))
            if self.code != 200:
                return httpx2.Response(self.code, json={"kind": "Status", "code": self.code, "message": "no"})
            metadata = {"name": "demo-ha", **body.get("metadata", {}), "resourceVersion": "8"}
            metadata["annotations"] = {
                key: value for key, value in metadata.get("annotations", {}).items() if value is not None
            }
            return httpx2.Response(200, json={"addressType": "IPv4", **body, "metadata": metadata})

        config = KubeConfig.from_one(cluster=Cluster(server="http://api"), user=User(token="t"), namespace="ns").get()
        return AsyncClient(config=config, namespace="ns", transport=httpx2.MockTransport(handle), trust_env=False)

    def lock(self, mode: str) -> AnnotatedLock:
        client = self.client()
        silence: Callable[[], float] = lambda: 5.0  # noqa: E731
        labels = {"pgherd.dev/cluster": "demo"}
        return AnnotatedLock(client, client, KINDS[mode], "demo-ha", labels, 5432, silence, lambda text: None)


@pytest.fixture
def server() -> Server:
    return Server()


async def test_record_and_routing_of_a_slice_are_one_compare_and_swap(server: Server) -> None:
    assert await server.lock("endpointslice").write(RECORD, "7", 1.0) == LockSeen(RECORD, "8")
    [(method, path, body)] = server.requests
    assert (method, path) == ("PATCH", f"{PATHS['endpointslice']}/demo-ha")
    assert body["metadata"]["resourceVersion"] == "7" and body["metadata"]["annotations"]["handover"] is None
    [endpoint] = body["endpoints"]
    assert (endpoint["addresses"], endpoint["conditions"]["ready"]) == (["10.0.0.1"], True)
    assert endpoint["targetRef"] == {"kind": "Pod", "namespace": "ns", "name": "demo-0", "uid": "u1"}
    assert body["ports"] == [{"name": "postgres", "port": 5432, "protocol": "TCP"}]


async def test_without_an_address_a_slice_names_nobody(server: Server) -> None:
    await server.lock("endpointslice").write(msgspec.structs.replace(RECORD, address=None), "7", 1.0)
    assert server.requests[0][2]["endpoints"] == []


@pytest.mark.parametrize("mode", LOCKS)
async def test_a_missing_lock_is_made_whole(mode: str, server: Server) -> None:
    assert await server.lock(mode).write(RECORD, "", 1.0) == LockSeen(RECORD, "8")
    [(method, path, body)] = server.requests
    assert (method, path, body["metadata"]["name"]) == ("POST", PATHS[mode], "demo-ha")
    assert "resourceVersion" not in body["metadata"] and None not in body["metadata"]["annotations"].values()
    labels = body["metadata"]["labels"]
    assert labels["pgherd.dev/cluster"] == "demo"  # as the play finds it
    if mode == "endpointslice":
        assert body["addressType"] == "IPv4" and "kubernetes.io/service-name" not in labels
        assert "service.kubernetes.io/headless" in labels  # kube-proxy does not look at it
    else:
        assert labels["endpointslice.kubernetes.io/skip-mirror"] == "true"


@pytest.mark.parametrize("mode", LOCKS)
async def test_a_lock_that_somebody_else_made_meanwhile_is_a_conflict(mode: str) -> None:
    with pytest.raises(Conflict):
        await Server(409).lock(mode).write(RECORD, "", 1.0)


@pytest.mark.parametrize("mode", LOCKS)
async def test_the_configuration_is_where_the_mode_puts_it(mode: str, server: Server) -> None:
    store = open_config(mode, server.client(), "demo-ha-config", lambda text: None)
    seen = await store.write({"initialize": "7000"}, "7", 1.0)
    assert (seen.initialize, seen.version) == ("7000", "8")
    assert server.requests[0][:2] == ("PATCH", f"{CONFIGS[mode]}/demo-ha-config")


@pytest.mark.parametrize("mode", LOCKS)
async def test_no_object_is_no_lock(mode: str) -> None:
    seen = await Server(404).lock(mode).read(1.0)
    assert seen == LockSeen(None, trouble="the lock object is missing")


def test_another_kind_of_lock_is_refused() -> None:
    text = (
        "{cluster: demo, members: [demo-0], kubernetes: {lock: lease},"
        " postgres: {version: 17, bin_directory: /b, data_directory: /d, state_directory: /s}}"
    )
    with pytest.raises(InvalidSetting, match="kubernetes.lock='lease': must be one of endpoints, endpointslice"):
        read_settings(text)
