"""The route's EndpointSlice: a compare-and-swap of who gets the clients, the Service's by its label."""

from __future__ import annotations

from tests.unit.kubernetes.test_endpointslice import PATHS, Server

from pgherd.kubernetes.route import SliceRoute
from pgherd.kubernetes.store import RouteSeen
from pgherd.model.route import Route

ROUTE = Route("10.0.0.1", "demo-0", "u1")


def route(server: Server, address: str = "10.0.0.1") -> SliceRoute:
    return SliceRoute(
        server.client(), server.client(), "demo-ha", {"pgherd.dev/cluster": "demo"}, address, 5432, lambda text: None
    )


async def test_a_change_is_one_compare_and_swap() -> None:
    server = Server()
    assert await route(server).write(ROUTE, "7", 1.0) == RouteSeen("8", ("10.0.0.1",))
    [(method, path, body)] = server.requests
    assert (method, path) == ("PATCH", f"{PATHS['endpointslice']}/demo-ha-route")
    assert body["metadata"] == {"resourceVersion": "7"}, "nothing else in it ever changes"
    [endpoint] = body["endpoints"]
    assert (endpoint["addresses"], endpoint["conditions"]["ready"]) == (["10.0.0.1"], True)
    assert endpoint["targetRef"] == {"kind": "Pod", "namespace": "ns", "name": "demo-0", "uid": "u1"}
    assert body["ports"] == [{"name": "postgres", "port": 5432, "protocol": "TCP"}]


async def test_nobody_is_an_empty_list() -> None:
    server = Server()
    assert await route(server).write(None, "7", 1.0) == RouteSeen("8")
    assert server.requests[0][2]["endpoints"] == []


async def test_a_missing_one_is_made_as_the_services() -> None:
    server = Server()
    await route(server).write(ROUTE, "", 1.0)
    [(method, _, body)] = server.requests
    labels = body["metadata"]["labels"]
    assert (method, body["metadata"]["name"], body["addressType"]) == ("POST", "demo-ha-route", "IPv4")
    assert labels["kubernetes.io/service-name"] == "demo-ha" and labels["pgherd.dev/cluster"] == "demo"
    assert labels["endpointslice.kubernetes.io/managed-by"] == "pgherd"


async def test_addresses_of_the_other_kind_have_a_slice_of_their_own() -> None:
    """Its kind can never be changed."""
    server = Server()
    await route(server, "fd00::1").write(Route("fd00::1", "demo-0", "u1"), "", 1.0)
    [(_, _, body)] = server.requests
    assert (body["metadata"]["name"], body["addressType"]) == ("demo-ha-route-ipv6", "IPv6")


async def test_without_the_object_clients_are_sent_nowhere() -> None:
    assert await route(Server(404)).read(1.0) == RouteSeen()
