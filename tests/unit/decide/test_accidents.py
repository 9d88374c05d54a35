"""What the simulation found: a lease that a person edited, a promotion that fails, an identity that was lost."""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.decide.views import (
    NOW,
    SYSTEM,
    holding,
    leader_view,
    lease,
    observing,
    peer,
    primary,
    standby,
    status,
    stopped,
    view,
)

from pgherd.decide import decide
from pgherd.model.actions import Kill, PollPeers, WriteLease
from pgherd.model.knowledge import WriteKind
from pgherd.model.lease import Lease
from pgherd.model.server import Health
from pgherd.model.view import Failure, TaskKind

MINE = lease(leader="m1", address="10.0.0.1", candidates=())
NAMELESS = [lease(leader=None), lease(holder=None)]


@pytest.mark.parametrize("record", NAMELESS)
def test_a_lease_that_names_nobody_is_an_accident_however_old_it_is(record: Lease) -> None:
    found = view(knowledge=observing(record, NOW - 1000), peers=(peer("m0", None), peer("m2", status("m2"))))
    decision = decide(found, NOW)
    assert (decision.actions, decision.reason.code) == ((PollPeers(),), "lock-lost")
    assert "not yet heard: m0" in decision.reason.text


@pytest.mark.parametrize("record", NAMELESS)
def test_beside_a_lease_that_names_nobody_no_primary_lives_on(record: Lease) -> None:
    assert decide(view(knowledge=observing(record), server=primary()), NOW).actions == (Kill(),)


def test_a_released_lease_needs_no_name() -> None:
    """How a person frees a lock that was lost (docs/operations.md)."""
    words = (peer("m0", status("m0", role="replica")), peer("m2", status("m2")))
    decision = decide(view(knowledge=observing(lease(leader=None, released=5), NOW - 1), peers=words), NOW)
    assert decision.reason.code == "released"


@pytest.mark.parametrize("name", ["m2", None])
def test_its_holder_writes_its_own_name_again(name: str | None) -> None:
    """The nonce says whose lease it is, so that the name can be put right."""
    edited = msgspec.structs.replace(holding(MINE, NOW - 3.1), record=msgspec.structs.replace(MINE, leader=name))
    decision = decide(leader_view(knowledge=edited, health=Health(NOW - 0.2, True)), NOW)
    assert [action.record.leader for action in decision.actions if isinstance(action, WriteLease)] == ["m1"]


def test_after_a_failed_promotion_the_lease_is_given_up_and_nothing_starts_again() -> None:
    failed = (Failure(TaskKind.PROMOTE, None, 2, NOW - 0.5, "it died"),)
    running = decide(leader_view(server=standby(streaming=False), failures=failed), NOW)
    assert (running.actions, running.reason.code) == ((Kill(),), "promote-failed")
    dead = decide(leader_view(server=stopped(), failures=failed, knowledge=holding(lease())), NOW)
    kinds = [action.kind for action in dead.actions if isinstance(action, WriteLease)]
    assert (kinds, dead.reason.code) == ([WriteKind.HANDOVER], "promote-failed")


@pytest.mark.parametrize("server", [standby(system_identifier="other"), stopped(system_identifier="other")])
def test_another_clusters_data_stay_out_also_while_initialize_is_lost(server: object) -> None:
    """S6: else they would be rewound, and then cloned over."""
    decision = decide(view(server=server, initialize=None), NOW)
    assert (decision.actions, decision.reason.code) == ((), "system-identifier")
    assert SYSTEM in decision.reason.text
