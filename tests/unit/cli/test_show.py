"""What a person or a program gets to read: cells, heading, footer, documents; and rows in unusual clusters."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import yaml

from pgherd.cli import show
from pgherd.cli.observe import Observation
from pgherd.cli.table import Row, Table, table
from pgherd.kubernetes.store import ConfigSeen, LockSeen, PodSeen
from pgherd.model.lease import Candidate, Holder, Lease
from pgherd.model.parameters import Change
from pgherd.model.position import Position
from pgherd.model.request import Request, Stage, Verb
from pgherd.model.synchronous import Standby, Synchronous
from tests.unit.cli.observations import STREAMS, TARGET, observation
from tests.unit.decide.views import SYSTEM, lease, pod, status

RENEWED = "2026-01-01T00:00:00+00:00"
LATER = datetime(2026, 1, 1, 0, 0, 2, 500000, tzinfo=UTC)


def row_of(seen: Observation, member: str = "m1") -> Row:
    return next(row for row in table(seen).members if row.member == member)


def silent(member: str, why: str = "no answer within 1 s", **changes: Any) -> Observation:
    seen = observation(**changes)
    return msgspec.structs.replace(seen, answers={**seen.answers, member: None}, why={member: why})


# Rows of unusual clusters


def test_without_certificates_the_lock_speaks_for_the_members() -> None:
    slots = {"m1": 4000}
    seen = observation(answers={}, lock=LockSeen(lease(slots=slots), "7"))
    leader, first, second = table(seen).members
    assert [row.state for row in (leader, first, second)] == ["not asked"] * 3
    assert (leader.role, leader.timeline, first.timeline) == ("leader", 2, None)
    assert (first.lag, second.lag, first.replay_lag) == (1000, None, None)
    assert first.candidate and first.notes == ()


def test_a_leader_that_is_about_to_promote_shows_the_timeline_that_is_published() -> None:
    promoting = lease(holder=Holder(uid="u0", container="c0", nonce="n", timeline=3, writable=2))
    assert row_of(silent("m0", lock=LockSeen(promoting, "7")), "m0").timeline == 2
    first = lease(holder=Holder(uid="u0", container="c0", nonce="n", timeline=1, writable=0))
    assert row_of(silent("m0", lock=LockSeen(first, "7")), "m0").timeline == 1


def test_a_declared_member_without_a_pod_has_a_row() -> None:
    row = row_of(observation(pods=(PodSeen(pod("m0")),), answers={"m0": status("m0")}))
    assert (row.state, row.host, row.node, row.role) == ("no pod", None, None, "replica")


def test_a_pod_that_is_not_declared_has_a_row_and_a_note() -> None:
    pods = (PodSeen(pod("m9")),)
    row = row_of(observation(pods=pods, answers={"m9": status("m9", **STREAMS, incarnation="i9")}), "m9")
    assert "not a declared member" in row.notes
    unknown = observation(pods=pods, answers={}, target=msgspec.structs.replace(TARGET, members=()))
    assert row_of(unknown, "m9").notes == ()


def test_a_pod_on_its_way_out_is_noted() -> None:
    going = msgspec.structs.replace(pod("m1"), terminating=True, node="node-1")
    row = row_of(observation(pods=(PodSeen(going),)))
    assert row.notes == ("terminating",) and row.node == "node-1"


def test_nobody_streams_from_a_lease_that_is_free() -> None:
    """S8: there is no holder to stream from."""
    shown = table(observation(lock=LockSeen(lease(released=5), "7")))
    assert shown.leader is None and [row.state for row in shown.members] == ["running"] * 3
    assert row_of(observation(lock=LockSeen(lease(released=5), "7")), "m0").role == "primary"


def test_a_member_that_does_not_stream_says_why() -> None:
    seen = observation(answers={"m1": status("m1", reason="finding the end of the WAL on disk")})
    assert row_of(seen).notes == ("finding the end of the WAL on disk",)
    leader = observation(answers={"m0": status("m0", role="replica", reason="promoting onto timeline 2")})
    assert row_of(leader, "m0").notes == ("promoting onto timeline 2",)


@pytest.mark.parametrize(
    ("words", "recorded", "candidate"),
    [
        (status("m1", **STREAMS), "i1", True),
        (status("m1", **STREAMS, incarnation=None), "i1", False),
        (status("m1", **STREAMS), "before the volume was emptied", False),
        (None, "i1", True),
    ],
)
def test_a_candidate_has_the_data_that_it_was_recorded_with(words: Any, recorded: str, candidate: bool) -> None:
    seen = observation(lock=LockSeen(lease(candidates=(Candidate("m1", recorded),)), "7"), answers={"m1": words})
    assert row_of(seen).candidate is candidate and not row_of(seen, "m2").candidate


def test_without_a_lock_nothing_is_made_up() -> None:
    shown = table(observation(lock=LockSeen(None, "", "Endpoints demo-ha is missing")))
    assert (shown.leader, shown.epoch, shown.trouble) == (None, None, "Endpoints demo-ha is missing")
    assert [row.lag for row in shown.members] == [None] * 3
    assert [row.role for row in shown.members] == ["primary", "replica", "replica"]


def test_lag_counts_from_the_newest_position_and_is_never_negative() -> None:
    ahead = {"m0": status("m0", position=Position(2, 9000)), "m1": status("m1", **STREAMS, replayed=4000)}
    assert (row_of(observation(answers=ahead)).lag, row_of(observation(answers=ahead)).replay_lag) == (4000, 5000)
    beyond = {"m1": status("m1", **STREAMS, position=Position(2, 6000), replayed=6000)}
    assert (row_of(observation(answers=beyond)).lag, row_of(observation(answers=beyond)).replay_lag) == (0, 0)
    nothing = {"m1": status("m1", position=None)}
    assert row_of(observation(answers=nothing)).lag is None


# Cells, heading, footer


@pytest.mark.parametrize(
    ("lag", "shown"), [(None, ""), (0, "0"), (1 << 19, "0"), ((1 << 20) * 3 // 2 + 1, "2"), (5 << 30, "5120")]
)
def test_lag_is_shown_in_megabytes(lag: int | None, shown: str) -> None:
    assert show.megabytes(lag) == shown


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        (Row("m0", "leader", "running", "10.0.0.0", "n", 2), ("m0", "10.0.0.0", "n", "Leader", "running", "2", "", "")),
        (Row("m1", "replica", "no pod"), ("m1", "", "", "Replica", "no pod", "", "unknown", "")),
        (
            Row("m2", "primary", "running", lag=None, notes=("one", "two")),
            ("m2", "", "", "Primary, no lease", "running", "", "unknown", "one; two"),
        ),
    ],
)  # fmt: skip
def test_cells(row: Row, cells: tuple[str, ...]) -> None:
    assert show.cells(row) == cells and len(cells) == len(show.COLUMNS)


def test_a_pending_restart_has_a_column_with_its_reason() -> None:
    waits = {"max_connections": Change("100", "60")}
    seen = observation(answers={"m0": status("m0"), "m1": status("m1", pending_restart=waits), "m2": status("m2")})
    shown = table(seen)
    names = show.columns(shown)
    assert names == (*show.COLUMNS, "Pending restart")
    assert [show.line(row, names)[-1] for row in shown.members] == ["", "max_connections: 100 -> 60", ""]
    assert show.columns(table(observation())) == show.COLUMNS


@pytest.mark.parametrize(
    ("initialize", "heading"),
    [
        (SYSTEM, "Cluster: demo (7000)"),
        ("bootstrapping:1", "Cluster: demo (bootstrapping:1)"),
        (None, "Cluster: demo (uninitialized)"),
    ],
)
def test_the_heading_names_cluster_and_identity(initialize: str | None, heading: str) -> None:
    assert show.heading(table(observation(config=ConfigSeen("3", initialize)))) == heading


def footer(record: Lease | None, trouble: str = "", **changes: Any) -> str:
    shown: Table = table(observation(lock=LockSeen(record, "7", trouble), **changes))
    return show.footer(shown, record, LATER)


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (lease(renew_time=RENEWED), "Lease: epoch 5, held by m0, ttl 10 s, renewed 2.5 s ago"),
        (lease(renew_time=RENEWED, released=5), "Lease: epoch 5, free, ttl 10 s, renewed 2.5 s ago"),
        (lease(leader=None), "Lease: epoch 5, nobody's, ttl 10 s"),
        (lease(renew_time="2026-01-01T00:01:00+00:00"), "Lease: epoch 5, held by m0, ttl 10 s, renewed 0.0 s ago"),
        (lease(pause=True), "Lease: epoch 5, held by m0, ttl 10 s\nMaintenance mode: on"),
    ],
)
def test_the_footer_tells_of_the_lease(record: Lease, text: str) -> None:
    assert footer(record) == text


def test_the_footer_tells_for_whom_commits_wait() -> None:
    alone = Synchronous("on", Standby("m0", "i0"))
    assert "Synchronous: nobody but the leader may lead" in footer(lease(sync=alone))
    both = msgspec.structs.replace(alone, members=(Standby("m1", "i1"), Standby("m2", "i2")), votes=2)
    assert "Synchronous: commits wait for m1, m2" in footer(lease(sync=both))
    assert "commits wait for 1 of m1, m2" in footer(lease(sync=msgspec.structs.replace(both, votes=1)))


def test_the_footer_tells_of_what_is_missing() -> None:
    assert footer(None, "Endpoints demo-ha is missing") == "Attention: Endpoints demo-ha is missing"
    assert "The agents were not asked" in footer(lease(), answers={})


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_documents_for_programs_have_everything(form: str) -> None:
    text = show.document(table(observation()), form)
    read = json.loads(text) if form == "json" else yaml.safe_load(text)
    assert read["leader"] == "m0" and read["epoch"] == 5 and len(read["members"]) == 3
    assert set(read["members"][0]) == set(Row.__struct_fields__)


def test_a_cell_never_breaks_a_line_of_tab_separated_text() -> None:
    assert show.tsv(("A", "B"), [("1\t2", "3\n4")]) == "A\tB\n1 2\t3 4"


def test_the_printed_table_is_whole_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    long = "a note of more than eighty columns, which a terminal would wrap and a file must not, whatever it says"
    seen = silent("m1", long)
    show.members(table(seen), seen.lock.record, show.console())
    said = capsys.readouterr().out
    assert long in said and "Cluster: demo (7000)" in said and "Lease: epoch 5" in said


def test_what_people_asked_for_is_below_the_table() -> None:
    asked = (
        Request("r1", Verb.SWITCHOVER, "m1", not_before="2026-01-31T22:00:00+00:00"),
        Request("r2", Verb.RESTART, "m2", state=Stage.RUNNING),
    )
    below = show.footer(table(observation(requests=asked)), lease())
    assert below.splitlines()[-2:] == [
        "Switchover to m1 not before 2026-01-31T22:00:00+00:00: pending (r1)",
        "Restart of m2: running (r2)",
    ]
