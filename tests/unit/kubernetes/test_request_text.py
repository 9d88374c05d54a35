"""Requests as annotations: what is read, and what is refused with field, value and what is allowed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pgherd.kubernetes.request_text import key, read, write
from pgherd.model.request import Parameters, Request, Stage, Verb

WHOLE = Request(
    "r1", Verb.FAILOVER, "m1", parameters=Parameters(accept_loss=True), by="me", at="2026-01-01T00:00:00+00:00",
    expires="2026-01-01T00:01:00Z", state=Stage.RUNNING, epoch=4, result={"from": "m0"},
)  # fmt: skip


def test_what_is_written_is_read_again() -> None:
    assert read({key("r1"): write(WHOLE)}) == ((WHOLE,), ())


def test_the_oldest_comes_first_and_other_annotations_are_not_ours() -> None:
    texts = {"leader": "m0", key("b"): {"at": "2"}, key("a"): {"at": "3"}}
    made = {
        name: text if isinstance(text, str) else json.dumps({"id": name[-1], "verb": "switchover", **text})
        for name, text in texts.items()
    }
    found, wrong = read(made)
    assert [each.id for each in found] == ["b", "a"] and not wrong


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"verb": "explode"}, "Invalid enum value 'explode'"),
        ({"id": "X"}, "id='X': must be 1 to 40"),
        ({"id": "other"}, "its id is 'other'"),
        ({"verb": "restart", "member": None}, "member: a restart must name one"),
        ({"verb": "restart", "parameters": {"accept_loss": True}}, "a restart takes none of accept_loss"),
        ({"parameters": {"only_pending": True}}, "a switchover does not take only_pending"),
        ({"verb": "failover", "parameters": {"acceptloss": True}}, "acceptloss"),
        ({"not_before": "soon"}, "not_before='soon': must be a time"),
        ({"not_before": "2026-01-31T22:00:00"}, "must say its offset"),
        ({"expires": "2026-13-31T22:00:00+00:00"}, "expires="),
    ],
)
def test_what_is_no_request_is_named(changes: dict[str, Any], text: str) -> None:
    found, wrong = read({key("r"): json.dumps({"id": "r", "verb": "switchover", "member": "m1", **changes})})
    assert not found and len(wrong) == 1
    assert wrong[0].startswith("annotation request-r: ") and text in wrong[0]
