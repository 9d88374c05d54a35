"""Requests to the agents: written once whatever the API does, followed to their end, refused in the agent's words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils import asking
from ansible_collections.pgherd.postgres.plugins.module_utils.client import Unreachable
from ansible_collections.pgherd.postgres.plugins.module_utils.lease import slot_name

from .agents import BOOK, NAMESPACE, A, Agents, B

LATER = "2036-01-06T02:00:00+00:00"


def book(api: Agents) -> asking.Book:
    return asking.Book(api, NAMESPACE, "demo")


@pytest.mark.parametrize(
    ("verb", "more"),
    [
        ("switchover", {"member": B, "leader": A, "not_before": LATER}),
        ("switchover", {}),
        ("failover", {"member": B, "parameters": {"accept_loss": True, "leader_is_dead": False}}),
        ("restart", {"member": B, "parameters": {"only_pending": True}}),
        ("reload", {"member": B}),
        ("reinitialize", {"member": B}),
    ],
)
def test_the_agents_read_what_is_written(verb: str, more: dict[str, Any]) -> None:
    agents = pytest.importorskip("pgherd.kubernetes.request_text")
    api = Agents(answers_with=lambda _: {})
    asking.send(book(api), asking.make(verb, **more))
    found, wrong = agents.read(api.objects[BOOK]["metadata"]["annotations"])
    assert not wrong and [each.verb.value for each in found] == [verb]
    assert (found[0].member or "", found[0].leader or "") == (more.get("member", ""), more.get("leader", ""))
    assert {name for name, value in more.get("parameters", {}).items() if value} == {
        name for name in ("accept_loss", "leader_is_dead", "only_pending") if getattr(found[0].parameters, name)
    }
    assert found[0].by.startswith("ansible") and found[0].expires > found[0].at


def test_the_same_id_twice_is_one_request() -> None:
    api = Agents()
    for _ in range(2):
        done = asking.send(book(api), asking.make("switchover", B, "ticket-1"))
    assert len(api.asked) == 1 and done.state == "done"
    with pytest.raises(asking.Invalid, match=r"request_id='ticket-1': it is another request \(switchover"):
        asking.send(book(api), asking.make("switchover", A, "ticket-1"))


def test_what_is_scheduled_twice_is_one_request_without_an_id() -> None:
    first, again = (asking.make("switchover", B, not_before=LATER) for _ in range(2))
    assert first.id == again.id != asking.make("switchover", A, not_before=LATER).id
    assert asking.make("switchover", B).id != asking.make("switchover", B).id


def test_a_write_whose_reply_was_lost_is_found_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "RETRY", 0)
    api = Agents()
    api.lost_replies, api.conflicts = 1, 2
    assert asking.send(book(api), asking.make("switchover", B)).state == "done"
    assert len(api.asked) == 1


def test_an_api_that_is_away_before_anything_was_written_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Agents()

    def away(*arguments: Any, **options: Any) -> Any:
        raise Unreachable("the Kubernetes API at https://k cannot be reached: refused")

    monkeypatch.setattr(api, "request", away)
    with pytest.raises(Unreachable):
        asking.send(book(api), asking.make("switchover", B))


@pytest.mark.parametrize("state", ["failed", "refused"])
def test_it_fails_with_the_agents_reason(state: str) -> None:
    api = Agents(answers_with=lambda _: {"state": state, "reason": "it does not stream"})
    sent = asking.send(book(api), asking.make("switchover", B))
    with pytest.raises(asking.NotDone, match=f"is {state}: it does not stream"):
        asking.outcome(book(api), sent, 10)


def test_what_is_not_over_in_time_goes_on_and_says_how_to_wait_for_it() -> None:
    api = Agents(answers_with=lambda _: {"state": "running"})
    sent = asking.send(book(api), asking.make("reinitialize", B, "ticket-2"))
    with pytest.raises(asking.NotDone, match="is running still. It goes on: request_id=ticket-2"):
        asking.outcome(book(api), sent, 0.1)


def test_an_api_that_goes_away_meanwhile_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Agents(answers_with=lambda _: {})
    sent = asking.send(book(api), asking.make("switchover", B))
    real, refusals = api.request, iter(range(2))

    def shaky(method: str, path: str, *arguments: Any, **options: Any) -> Any:
        if path == BOOK and next(refusals, None) is not None:
            raise Unreachable("reset")
        annotations = api.objects[BOOK]["metadata"]["annotations"]
        for name, text in annotations.items():
            annotations[name] = json.dumps({**json.loads(text), "state": "done"})
        return real(method, path, *arguments, **options)

    monkeypatch.setattr(api, "request", shaky)
    assert asking.outcome(book(api), sent, 60).state == "done"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"identifier": "Ticket 1"}, "request_id='Ticket 1': must be 1 to 40 of a-z, 0-9 and -"),
        ({"not_before": "tonight"}, "scheduled='tonight': must be a time as 2026-01-31T22:00:00+00:00"),
        ({"not_before": "2036-01-06T02:00:00"}, "must say its offset from UTC"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before(options: dict[str, str], said: str) -> None:
    with pytest.raises(asking.Invalid) as caught:
        asking.make("switchover", B, **options)
    assert said in str(caught.value)


def test_a_time_that_has_passed_is_refused() -> None:
    with pytest.raises(asking.Invalid, match="must be in the future"):
        asking.send(book(Agents()), asking.make("switchover", B, not_before="2020-01-01T00:00:00+00:00"))


def test_a_cluster_that_is_not_there_is_named() -> None:
    with pytest.raises(asking.Invalid, match="no ConfigMap other-ha-failover in namespace databases"):
        asking.send(asking.Book(Agents(), NAMESPACE, "other"), asking.make("switchover", B))


@pytest.mark.parametrize("name", ["demo-instance1-aaaa-0", "x" * 70 + "-0"])
def test_slots_are_named_as_the_agents_name_them(name: str) -> None:
    agents = pytest.importorskip("pgherd.model.slots")
    assert slot_name(name) == agents.slot_name(name)
