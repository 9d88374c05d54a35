"""Patroni's `/config` over REST: what is handed on, and how what stands in the way is told."""

from __future__ import annotations

import pytest

from pgherd.rest.configuring import LARGEST, Invalid, NotStored, Overtaken, Refusal
from tests.unit.rest.stand_ins import Source
from tests.unit.rest.test_app import client


@pytest.mark.parametrize(("method", "replaces"), [("PATCH", False), ("PUT", True)])
def test_a_change_is_handed_on_and_answered_by_what_is_stored_then(method: str, replaces: bool) -> None:
    source = Source(kept={"ttl": 30})
    with client(source, certified=True) as rest:
        answer = rest.request(method, "/config", json={"pause": None, "loop_wait": 2})
    assert answer.status_code == 200 and answer.json() == {"ttl": 30, "pause": None, "loop_wait": 2}
    [(body, replaced, by)] = source.changes
    assert body == {"pause": None, "loop_wait": 2} and replaced is replaces and by


@pytest.mark.parametrize(
    ("trouble", "code"),
    [(Invalid("ttl=1: must be at least 3"), 400), (Overtaken("again"), 409), (NotStored("silent"), 503)],
)
def test_what_stands_in_the_way_is_told(trouble: Refusal, code: int) -> None:
    with client(Source(trouble=trouble), certified=True) as rest:
        answer = rest.patch("/config", json={})
    assert answer.status_code == code and answer.json() == {"error": str(trouble)}


@pytest.mark.parametrize(
    ("body", "text"),
    [(b"", "JSON object"), (b"[]", "Expected `object`"), (b"{", "JSON object"), (b'"\xff"', "JSON object"),
     (b" " * (LARGEST + 1), "more than")],
)  # fmt: skip
def test_a_body_that_is_no_object_is_refused(body: bytes, text: str) -> None:
    source = Source()
    with client(source, certified=True) as rest:
        answer = rest.put("/config", content=body)
    assert answer.status_code == 400 and text in answer.json()["error"] and source.changes == []


def test_without_a_certificate_nothing_is_changed() -> None:
    source = Source()
    with client(source) as rest:
        assert rest.patch("/config", json={}).status_code == 403 == rest.put("/config", json={}).status_code
    assert source.changes == []
