"""The lock object over HTTP: what is sent, and how each answer is understood."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from lightkube.config.kubeconfig import KubeConfig
from lightkube.config.models import Cluster, User
from lightkube.core.async_client import AsyncClient

from pgherd.kubernetes.annotated import AnnotatedLock
from pgherd.kubernetes.endpoints import ENDPOINTS
from pgherd.kubernetes.store import Conflict, LockSeen, Refused, Unanswered
from pgherd.model.lease import Holder, Lease

RECORD = Lease(
    leader="demo-0",
    epoch=3,
    ttl=10,
    holder=Holder("u1", "c1", "nonce", 2, 2),
    slots={"demo_1": 5},
    address="10.0.0.1",
)
Handler = Callable[[httpx2.Request], Any]


def answer(annotations: dict[str, Any], version: str = "8", subsets: Any = None) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "demo-ha", "resourceVersion": version, "annotations": annotations},
        "subsets": subsets,
    }


def status(code: int) -> httpx2.Response:
    return httpx2.Response(code, json={"kind": "Status", "code": code, "message": "said no", "status": "Failure"})


def lock(handler: Handler, silence: float = 5.0) -> AnnotatedLock:
    async def respond(request: httpx2.Request) -> httpx2.Response:
        result = handler(request)
        if asyncio.iscoroutine(result):
            result = await result
        assert isinstance(result, httpx2.Response)
        return result

    config = KubeConfig.from_one(cluster=Cluster(server="http://api"), user=User(token="t"), namespace="ns").get()
    client = AsyncClient(config=config, namespace="ns", transport=httpx2.MockTransport(respond), trust_env=False)
    labels = {"pgherd.dev/cluster": "demo"}
    return AnnotatedLock(client, client, ENDPOINTS, "demo-ha", labels, 5432, lambda: silence, lambda text: None)


async def test_a_write_is_one_compare_and_swap_of_record_and_routing() -> None:
    requests: list[httpx2.Request] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        body = json.loads(request.content)
        kept = {key: value for key, value in body["metadata"]["annotations"].items() if value is not None}
        return httpx2.Response(200, json=answer(kept, subsets=body["subsets"]))

    seen = await lock(handler).write(RECORD, "7", 1.0)
    assert seen == LockSeen(RECORD, "8")
    [request] = requests
    body = json.loads(request.content)
    assert request.method == "PATCH"
    assert request.headers["content-type"] == "application/merge-patch+json"
    assert body["metadata"]["resourceVersion"] == "7"
    assert body["metadata"]["annotations"]["handover"] is None  # removed, not left over
    [subset] = body["subsets"]
    assert subset["addresses"][0]["ip"] == "10.0.0.1"
    assert subset["ports"] == [{"name": "postgres", "port": 5432, "protocol": "TCP"}]


async def test_without_an_address_the_routing_is_emptied() -> None:
    import msgspec

    bodies: list[dict[str, Any]] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(request.content))
        return httpx2.Response(200, json=answer({"transitions": "3", "ttl": "10"}))

    await lock(handler).write(msgspec.structs.replace(RECORD, address=None), "7", 1.0)
    assert bodies[0]["subsets"] is None


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (409, Conflict),
        (403, Refused),
        (404, Refused),
        (422, Refused),
        (410, Refused),
        (429, Refused),
        (408, Unanswered),
        (500, Unanswered),
        (504, Unanswered),
    ],
)
async def test_what_an_answer_means(code: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        await lock(lambda request: status(code)).write(RECORD, "7", 1.0)


async def test_a_request_that_never_left_was_refused() -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("connection refused")

    with pytest.raises(Refused):
        await lock(handler).write(RECORD, "7", 1.0)


async def test_a_lost_answer_may_have_succeeded() -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadError("connection reset")

    with pytest.raises(Unanswered):
        await lock(handler).write(RECORD, "7", 1.0)
    with pytest.raises(Unanswered):
        await lock(lambda request: httpx2.Response(200, content=b"<html>")).write(RECORD, "7", 1.0)


async def test_silence_ends_at_the_limit() -> None:
    with pytest.raises(Unanswered, match=r"no answer within 0\.05 s"):
        await lock(lambda request: asyncio.sleep(60)).write(RECORD, "7", 0.05)


async def test_a_missing_object_is_an_accident_and_not_free() -> None:
    seen = await lock(lambda request: status(404)).read(1.0)
    assert seen.record is None and "missing" in seen.trouble


async def test_a_malformed_object_is_an_accident() -> None:
    seen = await lock(lambda request: httpx2.Response(200, json=answer({"transitions": "many"}))).read(1.0)
    assert seen.record is None and "malformed" in seen.trouble


def listing(version: str, *items: Any) -> httpx2.Response:
    return httpx2.Response(
        200, json={"kind": "EndpointsList", "metadata": {"resourceVersion": version}, "items": items}
    )


def events(*lines: Any) -> httpx2.Response:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    return httpx2.Response(200, content=text.encode())


async def test_following_survives_410_garbage_and_ends() -> None:
    def at(version: str) -> dict[str, Any]:
        return answer({"transitions": "1", "ttl": "10"}, version)

    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old resource version"}}
    script = [
        listing("1", at("1")),
        events({"type": "MODIFIED", "object": at("2")}, gone),
        listing("3", at("3")),
        events("{ this is no JSON"),
        status(500),
        listing("4", at("4")),
        status(410),
        listing("5"),
    ]
    asked: list[str] = []

    def handler(request: httpx2.Request) -> Any:
        asked.append(str(request.url))
        return script.pop(0) if script else asyncio.sleep(60)

    versions = []
    async for seen in lock(handler).follow():
        versions.append(seen.version if seen.record else seen.trouble)
        if len(versions) == 5:
            break
    assert versions == ["1", "2", "3", "4", "the lock object is missing"]
    assert "watch=true" in asked[1] and "resourceVersion=1" in asked[1]
    assert all("fieldSelector=metadata.name%3Ddemo-ha" in url for url in asked)


async def test_a_silent_watch_is_not_believed() -> None:
    version = 0

    def handler(request: httpx2.Request) -> Any:
        nonlocal version
        if "watch=true" in str(request.url):
            return asyncio.sleep(60)
        version += 1
        return listing(str(version), answer({"transitions": "1", "ttl": "10"}, str(version)))

    seen = []
    async for each in lock(handler, silence=0.05).follow():
        seen.append(each.version)
        if len(seen) == 3:
            break
    assert seen == ["1", "2", "3"]
