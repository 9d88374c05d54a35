"""PostgresServer against real servers: from an empty volume to a former primary that streams from its successor."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.ha.fenced import CONFIGURATION, PATIENCE, Failed, Fenced, members
from tests.ha.harness.wait import eventually


@pytest.fixture
def pair() -> Iterator[list[Fenced]]:
    with members(2, 25520) as made:
        yield made


def follow(member: Fenced, primary: Fenced) -> None:
    """Start as a standby of `primary` and wait until it streams."""
    slot = member.name.replace("-", "_")
    positions = primary.do("keep_slots", names=[slot])
    assert positions[slot] > 0
    member.do("start", writable=False, source=primary.source, configuration=CONFIGURATION)
    eventually(f"{member.name} streams", lambda: member.do("observe")["streaming"], PATIENCE)


def replica(member: Fenced, primary: Fenced) -> None:
    member.start()
    member.do("clone", source=primary.source, replace=False, configuration=CONFIGURATION)
    follow(member, primary)


def rows(member: Fenced) -> int:
    return int(member.do("sql", sql="SELECT count(*) FROM t")[0][0])


def lsn(member: Fenced) -> int:
    return int(member.do("observe")["position"]["lsn"])


def settled(old: Fenced, new: Fenced) -> None:
    end = lsn(old)
    eventually(f"{new.name} shows everything", lambda: new.do("observe")["replayed"] >= end, PATIENCE)


def measured(member: Fenced) -> dict[str, Any]:
    """What is seen of a stopped server, once the end of its WAL is known."""

    def seen() -> dict[str, Any] | None:
        found: dict[str, Any] = member.do("observe")
        return found if found["position"] else None

    return eventually("the end of the WAL is known", seen, PATIENCE)


def test_a_first_primary_is_what_the_product_promises(pair: list[Fenced]) -> None:
    first, _ = pair
    first.start()
    assert first.do("observe")["data"] == "empty"
    first.primary()
    seen = first.do("observe")
    assert (seen["data"], seen["process"], seen["primary"], seen["position"]["timeline"]) == (
        "present", "running", True, 1,
    )  # fmt: skip
    assert seen["incarnation"]
    settings = dict(first.do("sql", sql="SELECT name, setting FROM pg_settings"))
    assert (settings["data_checksums"], settings["wal_level"], settings["ssl"]) == ("on", "logical", "on")
    assert first.do("probe")["alive"]
    with pytest.raises(Failed, match="S7"):
        first.do("initialise")
    first.do("sql", sql="ALTER SYSTEM SET wal_level = 'replica'")
    wanted: dict[str, Any] = {
        "postgresql": {**CONFIGURATION["postgresql"], "parameters": {"work_mem": "5MB", "max_connections": 21}}
    }
    assert first.do("reload", configuration=wanted), "max_connections waits for a restart"
    assert first.do("sql", sql="SHOW work_mem") == [["5MB"]]
    assert "wal_level" not in (first.data / "postgresql.auto.conf").read_text()
    first.do("stop", limit=30)
    seen = first.do("observe")
    assert (seen["process"], seen["clean"], seen["was_primary"]) == ("stopped", True, True)


def test_promotion_takes_the_timeline_of_the_lease_and_the_old_primary_rewinds(pair: list[Fenced]) -> None:
    old, new = pair
    old.start()
    old.primary()
    old.do("sql", sql="CREATE TABLE t AS SELECT generate_series(1, 100) AS n")
    replica(new, old)
    seen = new.do("observe")
    assert (seen["following"], seen["receiver_timeline"], seen["primary"]) == (old.name, 1, False)
    assert seen["incarnation"] != old.do("observe")["incarnation"]
    settled(old, new)

    with pytest.raises(Failed, match="S4"):
        new.do("promote", timeline=5)
    new.do("follow", source=None, configuration=CONFIGURATION)
    eventually("the receiver is gone", lambda: not new.do("observe")["streaming"], PATIENCE)
    old.do("sql", sql="INSERT INTO t SELECT generate_series(1, 1000)")  # what only the old primary has
    diverged_at = lsn(new)
    old.do("kill")
    crashed = measured(old)
    assert (crashed["process"], crashed["clean"], crashed["was_primary"]) == ("stopped", False, True)
    assert crashed["position"]["lsn"] > diverged_at, "the end of the WAL is more than pg_control says"

    new.do("arm", seconds=600)
    began = new.do("promote", timeline=5)
    assert began["timeline"] == 5
    seen = new.do("observe")
    assert (seen["primary"], seen["position"]["timeline"]) == (True, 5)
    assert seen["history"] == [{"timeline": 1, "end": began["lsn"]}]
    assert crashed["position"]["lsn"] > began["lsn"]
    new.do("sql", sql="INSERT INTO t SELECT generate_series(1, 10)")

    before = old.do("observe")["incarnation"]
    old.do("rewind", source=new.source)
    rewound = old.do("observe")
    assert rewound["data"] == "present"
    assert rewound["incarnation"] not in (before, new.do("observe")["incarnation"])
    kept = list((old.root / "volume/state/divergent").glob("*/0000000100000000*"))
    assert kept, "the divergent WAL was not kept aside (S5)"
    follow(old, new)
    settled(new, old)
    assert rows(old) == rows(new) == 110
    seen = old.do("observe")
    assert (seen["position"]["timeline"], seen["receiver_timeline"], seen["following"]) == (5, 5, new.name)

    old.do("stop", limit=30)  # a restart on the new timeline, past the skipped numbers
    follow(old, new)


def test_a_switchover_keeps_both_lines_the_same(pair: list[Fenced]) -> None:
    old, new = pair
    old.start()
    old.primary()
    old.do("sql", sql="CREATE TABLE t AS SELECT generate_series(1, 100) AS n")
    replica(new, old)
    settled(old, new)
    old.do("stop", limit=30)
    stopped = measured(old)
    assert stopped["clean"]
    eventually("it has all WAL", lambda: lsn(new) >= stopped["position"]["lsn"], PATIENCE)
    new.do("arm", seconds=600)
    began = new.do("promote", timeline=2)
    assert began["lsn"] == stopped["position"]["lsn"], "the shutdown checkpoint is on both lines"
    follow(old, new)
    new.do("sql", sql="INSERT INTO t VALUES (0)")
    settled(new, old)
    assert rows(old) == 101


def test_a_clone_replaces_data_only_on_request_and_keeps_its_wal(pair: list[Fenced]) -> None:
    old, new = pair
    old.start()
    old.primary()
    old.do("sql", sql="CREATE TABLE t AS SELECT generate_series(1, 100) AS n")
    new.start()
    new.primary()  # another cluster altogether
    identifier = new.do("observe")["system_identifier"]
    new.do("stop", limit=30)
    with pytest.raises(Failed, match="not empty"):
        new.do("clone", source=old.source, replace=False, configuration=CONFIGURATION)
    assert new.do("observe")["system_identifier"] == identifier
    new.do("clone", source=old.source, replace=True, configuration=CONFIGURATION)
    assert list((new.root / "volume/state/divergent").glob("*/0000000100000000*"))
    assert new.do("observe")["system_identifier"] != identifier
    follow(new, old)
    assert rows(new) == 100


def test_a_fresh_clone_never_starts_writable(pair: list[Fenced]) -> None:
    old, new = pair
    old.start()
    old.primary()
    new.start()
    new.do("clone", source=old.source, replace=False, configuration=CONFIGURATION)
    assert not new.do("observe")["was_primary"]
    new.do("arm", seconds=600)
    with pytest.raises(Failed, match="S2"):
        new.do("start", writable=True, source=None, configuration=CONFIGURATION)


def test_what_a_crash_left_of_a_clone_is_tidied(pair: list[Fenced]) -> None:
    first, _ = pair
    first.start()
    first.primary()
    first.do("stop", limit=30)
    identifier = first.do("observe")["system_identifier"]
    first.close()
    first.data.rename(f"{first.data}.old")
    first.data.with_name("data.new").mkdir()
    first.start()
    assert first.do("observe")["system_identifier"] == identifier
    assert not first.data.with_name("data.new").exists()
    assert not first.data.with_name("data.old").exists()


def test_a_third_member_follows_onto_the_new_timeline_and_survives_a_crash_there() -> None:
    with members(3, 25530) as (old, new, third):
        old.start()
        old.primary()
        old.do("sql", sql="CREATE TABLE t AS SELECT generate_series(1, 100) AS n")
        replica(new, old)
        replica(third, old)
        settled(old, new)
        settled(old, third)
        old.do("kill")
        new.do("arm", seconds=600)
        new.do("promote", timeline=4)
        slot = third.name.replace("-", "_")
        new.do("keep_slots", names=[slot])
        third.do("follow", source=new.source, configuration=CONFIGURATION)
        eventually("it streams on timeline 4", lambda: third.do("observe")["receiver_timeline"] == 4, PATIENCE)
        new.do("sql", sql="INSERT INTO t VALUES (0)")
        settled(new, third)
        before = third.do("observe")
        assert (before["following"], before["position"]["timeline"]) == (new.name, 4)
        assert before["history"] == new.do("observe")["history"]

        third.do("kill")  # pg_control still names timeline 1
        stopped = measured(third)
        assert stopped["position"]["timeline"] == 4, "received WAL of timeline 4 is forgotten"
        assert stopped["position"]["lsn"] >= before["position"]["lsn"]
        third.do("start", writable=False, source=None, configuration=CONFIGURATION)
        alone = third.do("observe")
        assert alone["position"]["timeline"] == 4
        eventually("it replays all it has", lambda: rows(third) == 101, PATIENCE)
        third.do("follow", source=new.source, configuration=CONFIGURATION)
        eventually("it streams again", lambda: third.do("observe")["streaming"], PATIENCE)


def test_a_dead_branch_of_history_does_not_mislead_a_start(pair: list[Fenced]) -> None:
    old, new = pair
    old.start()
    old.primary()
    old.do("sql", sql="CREATE TABLE t AS SELECT generate_series(1, 100) AS n")
    replica(new, old)
    new.do("stop", limit=30)
    for number, text in ((2, "1\t0/1000000\tanother branch\n"), (3, "")):
        (new.data / f"pg_wal/{number:08X}.history").write_text(text)
    follow(new, old)
    assert rows(new) == 100
    assert new.do("observe")["position"]["timeline"] == 1


def test_a_frozen_server_is_seen_as_it_was_and_fails_the_probe(pair: list[Fenced]) -> None:
    first, _ = pair
    first.start()
    first.primary()
    first.do("observe")
    frozen = first.freeze()
    began = time.monotonic()
    seen = first.do("observe")
    assert time.monotonic() - began < 5.0
    assert (seen["process"], seen["primary"]) == ("running", True)
    health = first.do("probe", limit=0.5)
    assert not health["alive"]
    assert "did not answer" in health["reason"]
    first.thaw(frozen)
    eventually("it is alive again", lambda: first.do("probe")["alive"], PATIENCE)


def test_a_delayed_standby_says_that_its_replay_waits_and_what_it_has(pair: list[Fenced]) -> None:
    """No receiver is begun before all WAL that is here was replayed: who waits for that is not left behind."""
    first, delayed = pair
    first.start()
    first.primary()
    replica(delayed, first)
    delayed.do("stop", limit=30)
    slowly = {**first.source, "recovery_min_apply_delay": "1h"}
    delayed.do("start", writable=False, source=slowly, configuration=CONFIGURATION)
    eventually("it streams", lambda: delayed.do("observe")["streaming"], PATIENCE)
    first.do("sql", sql="CREATE TABLE t AS SELECT generate_series(1, 100) AS n")
    written = lsn(first)
    eventually("it has received everything", lambda: lsn(delayed) >= written, PATIENCE)
    delayed.do("stop", limit=30)
    end = eventually("the end of its WAL is known", lambda: delayed.do("observe")["position"], PATIENCE)
    delayed.do("start", writable=False, source=slowly, configuration=CONFIGURATION)
    eventually("its replay waits", lambda: delayed.do("observe")["replay_waits"] == "RecoveryApplyDelay", PATIENCE)
    seen = delayed.do("observe")
    assert not seen["streaming"]
    assert seen["replayed"] < end["lsn"] <= seen["position"]["lsn"], "what is on its disk counts, replayed or not"


def test_a_shutdown_that_this_agent_did_not_order_is_seen_as_one(pair: list[Fenced]) -> None:
    """By an agent that has ended since: who takes it for a start waits for nothing."""
    first, _ = pair
    first.start()
    first.primary()
    query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
    [[checkpointer]] = first.do("sql", sql=query)
    [[postmaster]] = first.do("sql", sql="SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)")
    first.signal(int(checkpointer), signal.SIGSTOP)
    first.signal(int(postmaster), signal.SIGINT)
    eventually("it stops", lambda: first.do("observe")["process"] == "stopping", PATIENCE)
    first.signal(int(checkpointer), signal.SIGCONT)
    eventually("it has stopped", lambda: first.do("observe")["process"] == "stopped", PATIENCE)
    first.do("start", writable=True, source=None, configuration=CONFIGURATION)
    assert first.do("observe")["process"] == "running"
