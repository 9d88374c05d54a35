"""switchover, restart and reinitialize as a playbook calls them: done once, foreseen in check mode, refused clearly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils import waiting
from ansible_collections.pgherd.postgres.plugins.module_utils.names import path
from ansible_collections.pgherd.postgres.plugins.modules import cluster_info, reinitialize, restart, switchover

from .agents import LOCK, NAMESPACE, A, Agents, Answer, B, C, call

LATER = "2036-01-06T02:00:00+00:00"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LONGEST_SLEEP", 0.01)
    monkeypatch.setattr(waiting, "SHORTEST_SLEEP", 0.01)


class Works(Agents):
    """Agents that do what they are asked for: the lock shows it."""

    def __init__(self) -> None:
        super().__init__(answers_with=self.carry_out)
        self.serial = 7

    def carry_out(self, request: Answer) -> Answer:
        self.serial += 2
        if request["verb"] in ("switchover", "failover"):
            target = request.get("member") or B
            self.lead(target, self.serial, transitions="4")
            return {"state": "done", "reason": f"{target} is the leader", "result": {"from": A, "to": target}}
        self.lead(A, self.serial)
        return {"state": "done"}

    def request(self, method: str, path: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        if method == "GET" and path == LOCK:  # its holder goes on writing
            self.serial += 1
            leader = self.objects[LOCK]["metadata"]["annotations"]["leader"]
            self.lead(leader, self.serial, transitions=self.objects[LOCK]["metadata"]["annotations"]["transitions"])
        return super().request(method, path, *arguments, **options)


def switch(monkeypatch: pytest.MonkeyPatch, api: Agents, check: bool = False, **options: Any) -> dict[str, Any]:
    return call(monkeypatch, switchover, api, check, **{"cluster": "demo", "wait_timeout": 5, **options})


def test_a_switchover_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Works()
    planned = switch(monkeypatch, api, check=True, candidate=B)
    assert planned["changed"] and planned["msg"] == f"{A} would hand over to {B}" and not api.asked
    made = switch(monkeypatch, api, candidate=B)
    assert (made["changed"], made["leader"], made["previous_leader"]) == (True, B, A)
    assert made["diff"] == planned["diff"] == {"before": f"leader: {A}\n", "after": f"leader: {B}\n"}
    for check in (True, False):
        again = switch(monkeypatch, api, check, candidate=B)
        assert (again["changed"], again["leader"], again["requests"]) == (False, B, [])
    assert len(api.asked) == 1


def test_who_is_not_to_lead_hands_over_once(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Works()
    assert switch(monkeypatch, api, leader=A)["leader"] == B
    again = switch(monkeypatch, api, leader=A)
    assert not again["changed"] and again["msg"] == f"{B} leads, and not {A}"
    assert switch(monkeypatch, api)["changed"], "without a name it is done each time"


def test_the_same_id_again_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Works()
    assert switch(monkeypatch, api, candidate=B, request_id="ticket-1")["changed"]
    api.lead(A, 99)
    again = switch(monkeypatch, api, candidate=B, request_id="ticket-1")
    assert not again["changed"] and not again["failed"] and again["requests"][0]["id"] == "ticket-1"
    assert not switch(monkeypatch, api, check=True, candidate=B, request_id="ticket-1")["changed"]
    assert len(api.asked) == 1


def test_what_is_scheduled_is_not_waited_for_and_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Agents(answers_with=lambda _: {})
    for _ in range(2):
        result = switch(monkeypatch, api, candidate=B, scheduled=LATER)
        assert not result["failed"] and result["requests"][0]["not_before"] == LATER
    assert len(api.asked) == 1 and result["leader"] == A


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"candidate": "demo-0"}, f"candidate='demo-0': is no member; must be one of {A}, {B}, {C}"),
        ({"candidate": B, "leader": C}, f"leader='{C}': {A} leads"),
        ({"candidate": B, "accept_loss": True}, "accept_loss=true: is for a failover; say force=true as well"),
        ({"force": True}, "candidate: a failover (force=true) must name who is to lead"),
        ({"cluster": "other"}, "there is no cluster other in namespace databases: no Endpoints or EndpointSlice"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], said: str
) -> None:
    for check in (True, False):
        api = Agents()
        result = switch(monkeypatch, api, check, **options)
        assert result["failed"] and said in result["msg"] and not api.asked


def test_without_a_leader_only_force_lets_a_member_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Works()
    api.lead("", 8)
    result = switch(monkeypatch, api, candidate=B)
    assert result["failed"] and "nobody leads" in result["msg"]
    result = switch(monkeypatch, api, candidate=B, force=True, leader_is_dead=True)
    assert result["changed"] and result["previous_leader"] == ""
    assert (api.asked[0]["verb"], api.asked[0]["parameters"]) == ("failover", {"leader_is_dead": True})


def test_in_maintenance_nobody_is_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Agents()
    api.lead(A, pause="true")
    result = switch(monkeypatch, api, candidate=B)
    assert result["failed"] and "maintenance" in result["msg"] and not api.asked


def test_the_agents_reason_is_the_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Agents(answers_with=lambda _: {"state": "refused", "reason": "it does not answer"})
    result = switch(monkeypatch, api, candidate=B)
    assert result["failed"] and "is refused: it does not answer" in result["msg"]
    assert result["requests"][0]["state"] == "refused"


def again(monkeypatch: pytest.MonkeyPatch, api: Agents, check: bool = False, **options: Any) -> dict[str, Any]:
    return call(monkeypatch, restart, api, check, **{"cluster": "demo", "wait_timeout": 5, **options})


def test_replicas_are_restarted_one_by_one_and_the_leader_last(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Works()
    planned = again(monkeypatch, api, check=True)
    assert planned["changed"] and planned["members"] == [B, C, A] and not api.asked
    made = again(monkeypatch, api)
    assert [each["member"] for each in api.asked] == made["members"] == made["restarted"] == [B, C, A]


def test_the_next_one_is_asked_only_when_the_one_before_is_a_candidate_again(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Works()

    def loses_it(request: Answer) -> Answer:
        lead = api.lead
        monkeypatch.setattr(
            api, "lead", lambda *arguments, **changes: lead(*arguments, **{**changes, "candidates": "[]"})
        )
        return {"state": "done"}

    api.answers_with = loses_it
    result = again(monkeypatch, api, members=[B, C], wait_timeout=1)
    assert result["failed"] and f"untouched: {C}" in result["msg"] and "a candidate again" in result["msg"]
    assert [each["member"] for each in api.asked] == [B]


def test_a_failure_leaves_the_others_alone_and_says_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Works()
    works = api.carry_out
    api.answers_with = lambda asked: works(asked) if asked["member"] == B else {"state": "failed", "reason": "no"}
    result = again(monkeypatch, api)
    assert result["failed"] and result["changed"]
    assert f"{C}: restart" in result["msg"] and f"before it: {B}. untouched: {A}" in result["msg"]
    assert [(each["member"], each["state"]) for each in result["requests"]] == [(B, "done"), (C, "failed")]


def test_where_nothing_waits_for_a_restart_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Agents(answers_with=lambda _: {"state": "done", "result": {"restarted": "false"}})
    result = again(monkeypatch, api, only_pending=True)
    assert not result["changed"] and result["restarted"] == [] and result["members"] == [B, C, A]
    assert all(each["parameters"] == {"only_pending": True} for each in api.asked)


def test_check_mode_restarts_nobody_where_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Works()
    for name, said in ((A, {}), (B, {"max_connections": []}), (C, None)):
        text = json.dumps({} if said is None else {"pending_restart": said})
        api.objects[path("Pod", NAMESPACE, name)]["metadata"]["annotations"] = {"pgherd.dev/status": text}
    planned = again(monkeypatch, api, check=True, only_pending=True)
    assert planned["changed"] and planned["msg"].startswith(f"would restart {B}, {C} where"), "who is silent may wait"
    planned = again(monkeypatch, api, check=True, only_pending=True, members=[A])
    assert not planned["changed"] and planned["msg"] == "would restart nobody: no parameter waits for it"
    assert not api.asked


def test_check_mode_knows_what_was_done_already(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Works()
    made = again(monkeypatch, api, request_id="ticket-9", members=[B])
    assert made["changed"]
    planned = again(monkeypatch, api, check=True, request_id="ticket-9", members=[B])
    assert not planned["changed"] and "asked and answered before" in planned["msg"]


def test_a_restart_with_an_id_is_done_once_whoever_leads_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Works()
    assert again(monkeypatch, api, request_id="ticket-3")["changed"]
    api.lead(B, 99)
    assert not again(monkeypatch, api, request_id="ticket-3")["changed"]
    assert len(api.asked) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"members": ["demo-0"]}, "members='demo-0': is no member"),
        ({"members": [B], "role": "leader"}, f"role=leader: no member of {B} has it"),
        ({"scheduled": LATER}, "scheduled: is for one member"),
        ({"wait": False}, "wait=false: is for one member"),
    ],
)
def test_a_restart_that_cannot_work_is_refused(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], said: str
) -> None:
    api = Agents()
    result = again(monkeypatch, api, **options)
    assert result["failed"] and said in result["msg"] and not api.asked


def test_a_replica_gets_new_data_and_the_leader_never(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Works()
    options = {"cluster": "demo", "wait_timeout": 5}
    result = call(monkeypatch, reinitialize, api, member=A, **options)
    assert result["failed"] and "it is the leader; switch over first" in result["msg"] and not api.asked
    planned = call(monkeypatch, reinitialize, api, True, member=B, **options)
    assert planned["changed"] and planned["msg"] == f"would replace all data of {B} by a copy of {A}'s"
    for changed in (True, False):
        result = call(monkeypatch, reinitialize, api, member=B, request_id="ticket-4", **options)
        assert not result["failed"] and result["changed"] is changed
    assert len(api.asked) == 1


def test_a_look_shows_what_lock_pods_and_declaration_know(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Agents()
    said = {"timeline": 2, "streaming_from": A, "pending_restart": {"max_connections": []}}
    api.objects[path("Pod", NAMESPACE, B)]["metadata"]["annotations"] = {"pgherd.dev/status": json.dumps(said)}
    config = {"name": "demo-ha-config", "annotations": {"history": '[{"to": 1}]'}}
    api.put({"apiVersion": "v1", "kind": "Endpoints", "metadata": config})
    tags = f"cluster: demo\ntags:\n  {C}: {{nofailover: 'true'}}\n"
    api.put(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "demo-config"}, "data": {"pgherd.yaml": tags}}
    )
    selector = {"pgherd.dev/cluster": "demo"}
    result = call(monkeypatch, cluster_info, api, cluster="demo", selector=selector, history=True)
    assert (result["timeline"], result["epoch"], result["paused"]) == (2, 3, False)
    assert result["history"] == [{"to": 1}]
    leader, replica, other = result["members"]
    assert (leader["leader"], leader["timeline"], leader["lag"], leader["candidate"]) == (True, 2, None, False)
    assert (replica["lag"], replica["streaming_from"], replica["candidate"]) == (100, A, True)
    assert replica["pending_restart"] == ["max_connections"] and other["pending_restart"] is None
    assert other["tags"] == {"nofailover": "true"} and leader["tags"] == {}
