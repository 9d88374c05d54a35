"""A standby cluster: what the holder of its lease does in each state, and what the others make of it."""

from __future__ import annotations

from typing import Any

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
    pod,
    primary,
    standby,
    status,
    stopped,
    view,
)

from pgherd.decide import decide
from pgherd.decide.slots import orders
from pgherd.decide.what_if import Cluster, what_if
from pgherd.model.actions import (
    Clone,
    Decision,
    Follow,
    Initialise,
    Promote,
    Require,
    Rewind,
    SetInitialize,
    Start,
    Stop,
    WriteLease,
)
from pgherd.model.knowledge import WriteKind
from pgherd.model.lease import Holder
from pgherd.model.position import Ancestor, Position
from pgherd.model.server import Data, Health
from pgherd.model.settings import Configuration, PostgresConfiguration
from pgherd.model.standby import REMOTE, RemoteLine, RemoteSeen, StandbyCluster
from pgherd.model.synchronous import Standby, Synchronous
from pgherd.model.view import Failure, TaskKind, View

HOST = StandbyCluster(host="main.example")
ARCHIVE = StandbyCluster(restore_command="fetch %f %p")
CONFIGURED = Configuration(standby_cluster=HOST)
LINE = RemoteLine(SYSTEM, 2, (Ancestor(1, 1000),), 9000)
HISTORY = (Ancestor(1, 1000),)
LEADS = Holder(uid="u1", container="c1", nonce="n", timeline=2, writable=2, standby=True, highest=2)


STANDBY = lease(leader="m1", address="10.0.0.1", candidates=(), holder=LEADS)


def seen(line: RemoteLine | None = LINE, of: StandbyCluster = HOST, asked: float = NOW, why: str = "") -> RemoteSeen:
    return RemoteSeen(of, asked, line, why)


def following(**changes: Any) -> Any:
    return standby(**{"history": HISTORY, "following": REMOTE, **changes})


def leading(**changes: Any) -> View:
    """m1 is the published standby leader, streams from the remote primary, and a renewal is not due."""
    record = changes.pop("record", None) or STANDBY
    others = (peer("m0", status("m0", role="replica")), peer("m2", status("m2")))
    base: dict[str, Any] = {
        "knowledge": holding(record), "server": following(), "peers": others, "configuration": CONFIGURED,
        "remote": seen(), "stalled_since": NOW - 0.5,
    }  # fmt: skip
    return view(**{**base, **changes})


def action(decision: Decision, kind: type) -> Any:
    return next((each for each in decision.actions if isinstance(each, kind)), None)


def at_rest(**changes: Any) -> Any:
    return stopped(**{"history": HISTORY, **changes})


@pytest.mark.parametrize(
    ("changes", "code", "expected"),
    [
        ({}, "standby-leader", None),
        ({"server": following(streaming=False)}, "remote-silent", None),
        ({"server": following(streaming=False), "remote": seen(None, why="refused")}, "remote-silent", None),
        ({"server": following(following="m0", streaming=False)}, "remote-silent", Follow(REMOTE)),
        # Not compared, so not followed (S5); one that follows already goes on, and where an archive is, it is used.
        ({"server": following(following="m0", streaming=False), "remote": None}, "remote-silent", Follow(None)),
        ({"server": following(streaming=False), "remote": None}, "remote-silent", None),
        (
            {"server": following(following=None, streaming=False), "remote": None,
             "configuration": Configuration(standby_cluster=msgspec.structs.replace(HOST, restore_command="f %f %p"))},
            "remote-silent", Follow(REMOTE),
        ),
        # An archive alone is not asked.
        (
            {"server": following(streaming=False), "remote": None,
             "configuration": Configuration(standby_cluster=ARCHIVE)},
            "standby-leader", None,
        ),
        # Another cluster's (S6).
        (
            {"server": following(streaming=False),
             "remote": seen(msgspec.structs.replace(LINE, system_identifier="1"))},
            "remote-system-identifier", Follow(None),
        ),
        # Diverged, ahead, and behind a remote standby that may still get it.
        (
            {"server": following(streaming=False, position=Position(2, 9500))}, "remote-diverged", Stop(60),
        ),
        (
            {"server": following(streaming=False),
             "remote": seen(msgspec.structs.replace(LINE, timeline=3, history=(*HISTORY, Ancestor(2, 4000))))},
            "remote-diverged", Stop(60),
        ),
        (
            {"server": following(streaming=False, position=Position(2, 9500)),
             "remote": seen(msgspec.structs.replace(LINE, recovery=True))},
            "remote-silent", None,
        ),
        # A word from before the own WAL stood still says nothing.
        (
            {"server": following(streaming=False, position=Position(2, 9500)), "remote": seen(asked=NOW - 2)},
            "remote-silent", None,
        ),
        ({"server": following(streaming=False), "stalled_since": NOW - 500}, "remote-diverged", Stop(60)),
        ({"server": following(cramped=("max_connections 60 < 130",))}, "parameters-restart", Stop(60)),
    ],
)  # fmt: skip
def test_a_running_standby_leader(changes: dict[str, Any], code: str, expected: Any) -> None:
    decision = decide(leading(**changes), NOW)
    assert (decision.reason.code, action(decision, Promote)) == (code, None), decision
    if expected is None:
        assert action(decision, Follow) is None and action(decision, Stop) is None
    else:
        assert action(decision, type(expected)) == expected


def test_it_is_renewed_only_with_a_proof() -> None:
    due = holding(leading().knowledge.record or lease(), NOW - 5)
    assert action(decide(leading(knowledge=due), NOW), WriteLease).kind is WriteKind.RENEW
    assert action(decide(leading(knowledge=due, health=None), NOW), WriteLease) is None


@pytest.mark.parametrize(
    ("mark", "server", "expected"),
    [
        # The timeline that it streams is the cluster's line, and its set binds no more.
        ({}, following(position=Position(3, 6000), history=(*HISTORY, Ancestor(2, 5500))), (3, 3, True)),
        # It lacks what was published: until the remote primary sends it, that counts for a promotion (S2).
        ({"timeline": 4, "writable": 4}, following(streaming=False), (2, 4, False)),
        ({"timeline": 4, "writable": 4}, following(), (2, 2, True)),
    ],
)
def test_what_it_publishes(mark: dict[str, Any], server: Any, expected: tuple[int, int, bool]) -> None:
    sync = Synchronous("on", Standby("m1", "i1"), (Standby("m2", "i2"),), 1)
    old = msgspec.structs.replace(LEADS, **mark)
    record = lease(leader="m1", address=None, candidates=(), holder=old, sync=sync)
    decision = decide(leading(record=record, server=server), NOW)
    write = action(decision, WriteLease)
    assert decision.reason.code == "publish" and write.kind is WriteKind.RENEW
    new = write.record
    assert (new.address, new.holder.standby) == ("10.0.0.1", True)
    assert (new.holder.timeline, new.holder.writable, new.sync is None) == expected
    assert new.holder.highest >= old.timeline


@pytest.mark.parametrize(
    ("changes", "code", "expected"),
    [
        ({}, "start", Start(False, REMOTE)),
        ({"remote": None}, "remote-asked", None),
        ({"remote": None, "stalled_since": NOW - 9}, "start", Start(False, None)),
        ({"remote": seen(None, why="refused")}, "start", Start(False, None)),
        ({"configuration": Configuration(standby_cluster=ARCHIVE)}, "start", Start(False, REMOTE)),
        ({"server": at_rest(position=None)}, "measuring", None),
        # Its own line is left in the lease before its data change (S2, S3).
        ({"server": at_rest(position=Position(2, 9500))}, "line-left", None),
        ({"server": at_rest(end_known=False)}, "line-left", None),
    ],
)
def test_a_stopped_one_is_compared_before_it_starts(changes: dict[str, Any], code: str, expected: Any) -> None:
    decision = decide(leading(**{"server": at_rest(), **changes}), NOW)
    assert decision.reason.code == code, decision
    assert action(decision, Start) == expected


LEFT = msgspec.structs.replace(LEADS, writable=0)


@pytest.mark.parametrize(
    ("changes", "code", "expected"),
    [
        ({}, "rewind", Rewind(REMOTE)),
        ({"failures": (Failure(TaskKind.REWIND, REMOTE, 2, NOW - 9, "no"),)}, "clone", Clone(REMOTE, True)),
        (
            {"configuration": Configuration(standby_cluster=HOST,
                                            postgresql=PostgresConfiguration(use_pg_rewind=False))},
            "clone", Clone(REMOTE, True),
        ),
        (
            {"configuration": Configuration(standby_cluster=HOST, allow_data_loss_reclone=False),
             "failures": (Failure(TaskKind.REWIND, REMOTE, 2, NOW - 9, "no"),)},
            "clone-not-allowed", None,
        ),
        (
            {"failures": (Failure(TaskKind.REWIND, REMOTE, 2, NOW - 9, "no"),
                          Failure(TaskKind.CLONE, REMOTE, 2, NOW - 0.5, "no"))},
            "clone-failed", None,
        ),
        ({"server": stopped(data=Data.HALF_REWOUND, position=None)}, "clone", Clone(REMOTE, True)),
    ],
)  # fmt: skip
def test_the_ladder_of_a_diverged_one(changes: dict[str, Any], code: str, expected: Any) -> None:
    record = lease(leader="m1", address=None, candidates=(), holder=LEFT)
    decision = decide(leading(**{"record": record, "server": at_rest(position=Position(2, 9500)), **changes}), NOW)
    assert decision.reason.code == code, decision
    found = [each for each in decision.actions if isinstance(each, (Rewind, Clone))]
    assert found == ([expected] if expected else [])


def test_a_line_is_left_with_its_set_and_its_numbers() -> None:
    sync = Synchronous("on", Standby("m1", "i1"), (), 0)
    record = lease(leader="m1", candidates=(), holder=msgspec.structs.replace(LEADS, timeline=7, writable=7), sync=sync)
    new = action(decide(leading(record=record, server=at_rest(position=Position(2, 9500))), NOW), WriteLease).record
    assert (new.holder.writable, new.holder.highest, new.sync) == (0, 7, None)


# Promotion and demotion.


def test_it_is_promoted_under_a_lease_with_a_new_timeline() -> None:
    """First the lease, under another epoch, then PostgreSQL; never onto a number that was used (S2)."""
    mark = msgspec.structs.replace(LEADS, highest=8)
    record = lease(leader="m1", address="10.0.0.1", candidates=(), holder=mark)
    ordinary = Configuration()
    decision = decide(leading(record=record, configuration=ordinary), NOW)
    write = action(decision, WriteLease)
    assert decision.reason.code == "promote-cluster" and action(decision, Promote) is None
    assert (write.kind, write.record.epoch, write.record.address) == (WriteKind.TAKE, 6, None)
    assert (write.record.holder.timeline, write.record.holder.standby) == (9, False)
    after = decide(leading(record=write.record, configuration=ordinary), NOW)
    assert after.reason.code == "promote" and action(after, Promote) == Promote(9)


def test_one_without_the_latest_timeline_is_not_promoted() -> None:
    record = lease(leader="m1", address="10.0.0.1", holder=msgspec.structs.replace(LEADS, timeline=4, writable=4))
    decision = decide(leading(record=record, configuration=Configuration()), NOW)
    assert decision.reason.code == "outdated" and action(decision, WriteLease) is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "demote-cluster"),
        ({"remote": None}, "demote-cluster"),
        ({"remote": seen(msgspec.structs.replace(LINE, system_identifier="1"))}, "remote-system-identifier"),
    ],
)
def test_a_primary_is_demoted(changes: dict[str, Any], code: str) -> None:
    """Cleanly, whether the other cluster answers or not; never for another cluster's."""
    record = lease(leader="m1", address="10.0.0.1", candidates=())
    decision = decide(leading(**{"record": record, "server": primary(), "stalled_since": None, **changes}), NOW)
    assert decision.reason.code == code
    stop = action(decision, Stop)
    assert (stop is not None and stop.checkpoint) == (code == "demote-cluster")


@pytest.mark.parametrize("mode", ["on", "quorum"])
def test_commits_wait_until_nobody_makes_any(mode: str) -> None:
    """A standby cluster has no synchronous mode; who still writes, or is refused as one, keeps the promise of its own
    (S3)."""
    sync = Synchronous(mode, Standby("m1", "i1"), (Standby("m0", "i0"), Standby("m2", "i2")), 2)
    record = lease(leader="m1", address="10.0.0.1", candidates=(), sync=sync)
    wanted = Configuration(standby_cluster=HOST, synchronous_mode=mode, synchronous_node_count=2)
    others = tuple(
        peer(name, status(name, incarnation=f"i{name[1]}", streaming_from="m1", receiver_timeline=2))
        for name in ("m0", "m2")
    )
    foreign = seen(msgspec.structs.replace(LINE, system_identifier="1"))
    for remote, code in ((foreign, "remote-system-identifier"), (seen(), "demote-cluster")):
        decision = decide(
            leading(
                record=record, server=primary(), stalled_since=None, configuration=wanted, remote=remote, peers=others,
                knowledge=holding(record, NOW - 3.5),
            ),
            NOW,
        )  # fmt: skip
        assert decision.reason.code == code
        [write] = [each.record for each in decision.actions if isinstance(each, WriteLease)]
        assert write.sync == sync
        assert [each.rule.votes for each in decision.actions if isinstance(each, Require)] in ([], [2])
    down = leading(record=record, server=at_rest(was_primary=True, clean=True), configuration=wanted)
    assert action(decide(down, NOW), WriteLease).record.sync == sync


def test_a_demoted_one_takes_its_lease_anew_and_may_be_undone() -> None:
    record = lease(leader="m1", address="10.0.0.1", candidates=())
    down = at_rest(was_primary=True, clean=True)
    decision = decide(leading(record=record, server=down), NOW)
    write = action(decision, WriteLease)
    assert decision.reason.code == "demoted" and write.kind is WriteKind.TAKE
    assert (write.record.epoch, write.record.address, write.record.holder.standby) == (6, None, True)
    assert decide(leading(record=write.record, server=down), NOW).reason.code == "start"
    undone = decide(leading(record=write.record, server=down, configuration=Configuration()), NOW)
    assert action(undone, Start) == Start(True)
    mark = msgspec.structs.replace(write.record.holder, writable=0)
    for unread in (write.record, msgspec.structs.replace(write.record, holder=mark)):
        kept = decide(leading(record=unread, server=down, configuration=Configuration(), configuration_read=False), NOW)
        assert action(kept, Start) == Start(False), "by a configuration that was not read"


# From nothing.


@pytest.mark.parametrize(
    ("configured", "initialize", "server", "code", "kind"),
    [
        (HOST, None, stopped(data=Data.EMPTY), "bootstrap", SetInitialize),
        (HOST, "bootstrapping:5", stopped(data=Data.EMPTY), "clone", Clone),
        (ARCHIVE, "bootstrapping:5", stopped(data=Data.EMPTY), "remote-no-host", None),
        (HOST, "bootstrapping:5", at_rest(), "identify", SetInitialize),
    ],
)
def test_the_first_member_copies_the_remote_primary(
    configured: StandbyCluster, initialize: str | None, server: Any, code: str, kind: Any
) -> None:
    record = lease(leader="m1", address=None, candidates=(), holder=Holder("u1", "c1", "n", 0, 0, standby=True))
    if server.data is Data.EMPTY:
        server = msgspec.structs.replace(server, position=None, system_identifier=None)
    changes = {"initialize": initialize, "configuration": Configuration(standby_cluster=configured)}
    decision = decide(leading(record=record, server=server, **changes), NOW)
    assert decision.reason.code == code
    assert action(decision, Initialise) is None
    assert kind is None or action(decision, kind) is not None


# The others.


def observed(own: Position, leader: Position, **changes: Any) -> View:
    mark = msgspec.structs.replace(LEADS, uid="u0")
    words = status("m0", role="standby_leader", position=leader, history=HISTORY)
    base: dict[str, Any] = {
        "knowledge": observing(lease(holder=mark)), "configuration": CONFIGURED, "peers": (peer("m0", words),),
        "server": standby(position=own, history=HISTORY, streaming=False, following="m0"),
    }  # fmt: skip
    return view(**{**base, **changes})


@pytest.mark.parametrize(
    ("own", "leader", "code"),
    [
        (Position(2, 5000), Position(2, 9000), "not-streaming"),
        (Position(2, 9000), Position(2, 5000), "not-streaming"),
        (Position(1, 900), Position(2, 5000), "not-streaming"),
        (Position(1, 1200), Position(2, 5000), "diverged"),
    ],
)
def test_a_member_compares_itself_with_a_leader_that_may_be_behind(own: Position, leader: Position, code: str) -> None:
    changed = observed(own, leader)
    history = HISTORY if own.timeline > 1 else ()
    changed = msgspec.structs.replace(changed, server=msgspec.structs.replace(changed.server, history=history))
    assert decide(changed, NOW).reason.code == code


def test_who_is_ahead_is_never_replaced() -> None:
    """A clone would throw away what nobody else has."""
    for own, code in ((Position(2, 4000), "stopping-to-clone"), (Position(2, 9000), "not-streaming")):
        assert decide(observed(own, Position(2, 5000), stalled_since=NOW - 500), NOW).reason.code == code


def test_who_takes_over_promises_no_timeline_and_need_not_have_the_latest() -> None:
    mark = msgspec.structs.replace(LEADS, uid="u0", timeline=3, writable=3)
    expired = observing(lease(holder=mark), NOW - 60)
    others = (peer("m0", None), peer("m2", status("m2", position=Position(2, 4000))))
    taking = view(knowledge=expired, configuration=CONFIGURED, peers=others, server=standby(history=HISTORY))
    write = action(decide(taking, NOW + 5), WriteLease)
    assert (write.kind, write.record.holder.timeline, write.record.holder.standby) == (WriteKind.TAKE, 2, True)
    refused = decide(msgspec.structs.replace(taking, configuration=Configuration()), NOW + 5)
    assert refused.reason.code == "not-eligible" and "(S2)" in refused.reason.text


@pytest.mark.parametrize(
    ("read", "kept", "last", "stale"),
    [
        (False, CONFIGURED, {"standby": False}, True),
        (False, CONFIGURED, {"standby": False, "writable": 0}, True),
        (False, CONFIGURED, {}, False),
        (False, CONFIGURED, {"standby": False, "writable": 0, "timeline": 0}, False),
        (False, Configuration(), {}, True),
        (False, Configuration(), {"timeline": 0, "writable": 0}, True),
        (False, Configuration(), {"standby": False}, False),
        (True, CONFIGURED, {"standby": False}, False),
        (True, Configuration(), {}, False),
    ],
    ids=["promoted", "promoting", "standby", "new", "made one", "made one when new", "primary", "read", "read primary"],
)
def test_what_an_earlier_agent_kept_makes_no_primary_a_standby_and_none_a_primary(
    read: bool, kept: Configuration, last: dict[str, Any], stale: bool
) -> None:
    """The object is missing, and this member was down when `standby_cluster` was set or taken away."""
    mark = msgspec.structs.replace(LEADS, uid="u0", **last)
    expired = observing(lease(holder=mark), NOW - 60)
    others = (peer("m0", None), peer("m2", status("m2", position=Position(2, 4000))))
    seen = view(
        knowledge=expired, configuration=kept, peers=others, server=standby(history=HISTORY), configuration_read=read
    )
    decision = decide(seen, NOW + 5)
    assert (decision.reason.code == "configuration-stale") is stale
    assert bool([each for each in decision.actions if isinstance(each, WriteLease)]) is not stale
    down = msgspec.structs.replace(seen, server=stopped(history=HISTORY))
    assert decide(down, NOW + 5).actions == (Start(writable=False),), "what it has is readable meanwhile"


def test_a_leader_stays_what_it_is_until_its_configuration_was_read() -> None:
    """Its agent started anew, the object is gone or refused, and what is in force without it would fork (S2)."""
    kept = {"configuration": Configuration(), "configuration_read": False}
    unpromoted = decide(leading(**kept), NOW)
    assert unpromoted.reason.code == "configuration-stale"
    sick = leading(**kept, health=Health(NOW, False, "frozen"), knowledge=holding(STANDBY, NOW - 3.5))
    assert decide(sick, NOW).reason.code == "unhealthy"
    assert not any(isinstance(each, WriteLease) for each in decide(sick, NOW).actions), "nor renewed without proof (S4)"
    assert not any(each.kind is WriteKind.TAKE for each in unpromoted.actions if isinstance(each, WriteLease))
    assert decide(leading(configuration=Configuration()), NOW).reason.code == "promote-cluster"
    for server in (primary(), stopped(was_primary=True)):
        led = leader_view(configuration=CONFIGURED, server=server, configuration_read=False)
        usual = leader_view(server=server)
        assert decide(led, NOW).reason == decide(usual, NOW).reason


def test_slots_and_settings_are_a_standby_leaders() -> None:
    found = orders(leading(slots_present={"m0": NOW, "m2": NOW}), NOW)
    assert found is not None and not found.primary
    assert {slot.name for slot in found.slots} == {"m0", "m2"}
    assert action(decide(leading(), NOW), Require) is not None


def test_what_if_it_disappears() -> None:
    words = {"m1": status("m1", position=Position(2, 5000)), "m0": status("m0", role="replica")}
    record = lease(leader="m2", holder=msgspec.structs.replace(LEADS, uid="u2"))
    cluster = Cluster(record, CONFIGURED, SYSTEM, (pod("m0"), pod("m1"), pod("m2")), words)
    assert "follows main.example:5432 as standby leader" in what_if(cluster, "m2").text
