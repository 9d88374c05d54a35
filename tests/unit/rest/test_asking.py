"""Requests over REST, in Patroni's paths and bodies: what is asked for, and how the outcome is told."""

from __future__ import annotations

from typing import Any

import pytest

from pgherd.model.request import Stage, Verb
from pgherd.rest.asking import LARGEST, BadBody, Body, NotAsked
from tests.unit.rest.stand_ins import Source
from tests.unit.rest.test_app import client


@pytest.mark.parametrize(
    ("path", "body", "verb", "read"),
    [
        ("/switchover", {"leader": "a", "candidate": "b", "more": 1}, Verb.SWITCHOVER, Body("a", "b")),
        ("/switchover", {}, Verb.SWITCHOVER, Body()),
        ("/failover", {"candidate": "b"}, Verb.FAILOVER, Body(None, "b")),
        ("/restart", {"role": "primary"}, Verb.RESTART, Body()),
        ("/reload", None, Verb.RELOAD, Body()),
        ("/reinitialize", {"force": True}, Verb.REINITIALIZE, Body()),
    ],
)
def test_each_path_asks_for_one_thing(path: str, body: Any, verb: Verb, read: Body) -> None:
    source = Source(why="well")
    with client(source, certified=True) as rest:
        answer = rest.post(path, json=body) if body is not None else rest.post(path)
    [(asked, said, by)] = source.requests
    assert (asked, said) == (verb, read) and by
    assert answer.status_code == 200
    assert answer.json() == {"id": "r1", "state": "done", "reason": "well", "result": {}}


@pytest.mark.parametrize(
    ("stage", "code"), [(Stage.PENDING, 202), (Stage.RUNNING, 202), (Stage.REFUSED, 412), (Stage.FAILED, 503)]
)
def test_the_outcome_is_the_status(stage: Stage, code: int) -> None:
    with client(Source(stage=stage, why="because"), certified=True) as rest:
        answer = rest.post("/switchover")
    assert answer.status_code == code and answer.json()["reason"] == "because"


@pytest.mark.parametrize(
    ("trouble", "code", "text"), [(NotAsked("no answer"), 503, "no answer"), (BadBody("id='X'"), 400, "id='X'")]
)
def test_what_stands_in_the_way_is_told(trouble: Exception, code: int, text: str) -> None:
    with client(Source(trouble=trouble), certified=True) as rest:
        answer = rest.post("/restart")
    assert answer.status_code == code and text in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "text"), [(b'{"candidate": 7}', "$.candidate"), (b"{", "truncated"), (b" " * (LARGEST + 1), "more than")]
)
def test_a_body_that_cannot_be_read_is_refused_and_nothing_asked_for(body: bytes, text: str) -> None:
    source = Source()
    with client(source, certified=True) as rest:
        answer = rest.post("/switchover", content=body)
    assert answer.status_code == 400 and text in answer.json()["error"] and source.requests == []


def test_without_a_certificate_nothing_is_asked_for() -> None:
    source = Source()
    with client(source) as rest:
        assert rest.post("/switchover").status_code == 403
    assert source.requests == []
