"""Patroni's annotations as a request: what they ask for, what cannot be one, and when they are used up."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap

from pgherd.kubernetes.request_text import key, write
from pgherd.kubernetes.requests import requests_seen
from pgherd.kubernetes.store import RequestsSeen, spent
from pgherd.model.request import Request, Stage, Verb

LATER = "2036-01-31T22:00:00+01:00"


def seen(annotations: Mapping[str, str]) -> RequestsSeen:
    return requests_seen(ConfigMap(metadata=ObjectMeta(resourceVersion="7", annotations=dict(annotations))))


def only(annotations: Mapping[str, str]) -> Request:
    found = seen(annotations)
    assert [each.id for each in found.requests] == [found.keyed] and found.version == "7"
    return found.requests[0]


@pytest.mark.parametrize(
    ("annotations", "verb", "leader", "member"),
    [
        ({"leader": "m0"}, Verb.SWITCHOVER, "m0", None),
        ({"leader": "m0", "member": "m1"}, Verb.SWITCHOVER, "m0", "m1"),
        ({"leader": "m0", "candidate": "m1", "member": ""}, Verb.SWITCHOVER, "m0", "m1"),
        ({"member": "m1"}, Verb.FAILOVER, None, "m1"),
        ({"candidate": "m1", "member": "m1"}, Verb.FAILOVER, None, "m1"),
    ],
)
def test_the_leader_makes_it_a_switchover(
    annotations: dict[str, str], verb: Verb, leader: str | None, member: str | None
) -> None:  # fmt: skip
    request = only(annotations)
    assert (request.verb, request.leader, request.member, request.state) == (verb, leader, member, Stage.PENDING)
    assert not request.expires and only(annotations).id == request.id
    assert only({**annotations, "leader": "another"}).id != request.id


def test_a_schedule_expires_so_that_it_does_not_strike_when_it_is_forgotten() -> None:
    request = only({"leader": "m0", "scheduled_at": LATER})
    assert (request.not_before, request.expires) == (LATER, "2036-01-31T21:01:00+00:00")


def test_without_them_there_is_no_request() -> None:
    for nothing in ({}, {"leader": "", "member": ""}, {"history": "[]"}):
        found = seen(nothing)
        assert (found.requests, found.wrong, found.keyed) == ((), (), "")


@pytest.mark.parametrize(
    ("annotations", "text"),
    [
        ({"scheduled_at": LATER}, "leader, member: one of them must be given"),
        ({"member": "m1", "scheduled_at": LATER}, f"scheduled_at='{LATER}': a failover cannot be scheduled"),
        ({"leader": "m0", "member": "m1", "candidate": "m2"}, "candidate='m2': is another name for member"),
        ({"leader": "m0", "scheduled_at": "soon"}, "scheduled_at='soon': must be a time as 2026-"),
        ({"leader": "m0", "scheduled_at": "2036-01-31T22:00:00"}, "must say its offset"),
        ({"leader": "m0", "scheduled_at": "9999-12-31T23:59:59+00:00"}, "must be a time of the years 1 to 9999"),
    ],
)
def test_what_cannot_be_one_is_refused_by_its_reason(annotations: dict[str, str], text: str) -> None:
    found = seen(annotations)
    assert [each.state for each in found.requests] == [Stage.REFUSED] and text in found.requests[0].reason
    assert len(found.wrong) == 1 and text in found.wrong[0]
    assert spent(found, {found.keyed: found.requests[0]})


def test_once_it_has_begun_the_record_counts_and_its_end_uses_the_annotations_up() -> None:
    keys = {"leader": "m0", "member": "m1"}
    begun = msgspec.structs.replace(only(keys), state=Stage.RUNNING, epoch=3)
    found = seen({**keys, key(begun.id): write(begun)})
    assert found.requests == (begun,) and found.keyed == begun.id
    done = msgspec.structs.replace(begun, state=Stage.DONE)
    assert not spent(found, {begun.id: begun}) and spent(found, {begun.id: done})


def test_annotations_that_changed_meanwhile_are_another_request_and_stay() -> None:
    begun = msgspec.structs.replace(only({"leader": "m0"}), state=Stage.RUNNING)
    found = seen({"member": "m2", key(begun.id): write(begun)})
    assert len(found.requests) == 2 and found.keyed != begun.id
    assert not spent(found, {begun.id: msgspec.structs.replace(begun, state=Stage.DONE)})


def test_the_same_words_again_are_a_new_request() -> None:
    keys = {"leader": "m0"}
    there: dict[str, str] = {}
    identifiers = set()
    for _ in range(3):
        found = seen({**keys, **there})
        new = next(each for each in found.requests if each.id == found.keyed)
        assert new.state is Stage.PENDING
        identifiers.add(new.id)
        there[key(new.id)] = write(msgspec.structs.replace(new, state=Stage.DONE))
    assert len(identifiers) == 3
