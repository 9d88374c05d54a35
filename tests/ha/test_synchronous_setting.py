"""`require` on real PostgreSQL returns only once every process that acknowledges commits goes by the setting (S3)."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.ha.fenced import CONFIGURATION, PATIENCE, Failed, Fenced, members
from tests.ha.harness.wait import eventually
from tests.ha.test_postgres import replica

NOBODY = [{"member": "pgherd_nobody", "incarnation": ""}]


@pytest.fixture
def pair() -> Iterator[tuple[Fenced, Fenced]]:
    """A primary, and a standby that streams from it."""
    with members(2, 25540) as (first, second):
        first.start()
        first.primary()
        first.do("sql", sql="CREATE TABLE t (n int)")
        replica(second, first)
        yield first, second


def require(primary: Fenced, standbys: list[dict[str, str]]) -> int:
    rule = {"standbys": standbys, "votes": len(standbys)}
    return int(primary.do("require", rule=rule, configuration=CONFIGURATION))


def named(member: Fenced) -> list[dict[str, str]]:
    return [{"member": member.name, "incarnation": str(member.do("observe")["incarnation"])}]


def backend(primary: Fenced, kind: str) -> int:
    [[pid]] = primary.do("sql", sql=f"SELECT pid FROM pg_stat_activity WHERE backend_type = '{kind}'")
    return int(pid)


def waits(primary: Fenced) -> bool:
    """Whether a client's commit is seen waiting for a standby."""
    with ThreadPoolExecutor() as pool, primary.connect() as client:
        done = pool.submit(client.execute, "INSERT INTO t VALUES (1)")
        sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        eventually("it waits, or not", lambda: done.done() or primary.do("sql", sql=sql)[0][0], PATIENCE)
        futures.wait([done], 2.0)  # where a standby acknowledges it, it waits for that moment only
        waited = not done.done()
        primary.do("sql", sql="SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        done.result(PATIENCE)
        return waited


def test_a_standby_is_required_and_let_go_again(pair: tuple[Fenced, Fenced]) -> None:
    primary, standby = pair
    assert require(primary, named(standby)) > 0
    senders: list[dict[str, Any]] = primary.do("observe")["senders"]
    assert [(sender["member"], sender["sync_state"]) for sender in senders] == [(standby.name, "sync")]
    assert not waits(primary), "the standby is there"
    standby.do("kill")
    assert waits(primary), "nobody may acknowledge for it"
    assert require(primary, []) > 0
    assert not waits(primary)


def test_nobody_is_believed_before_the_checkpointer_has_read_the_setting(pair: tuple[Fenced, Fenced]) -> None:
    """A new connection shows the value by then, and a commit is acknowledged all the same."""
    primary, _ = pair
    checkpointer = backend(primary, "checkpointer")
    primary.signal(checkpointer, signal.SIGSTOP)
    with ThreadPoolExecutor() as pool:
        proved = pool.submit(require, primary, NOBODY)
        show = "SELECT current_setting('synchronous_standby_names')"
        eventually("it is shown", lambda: primary.do("sql", sql=show) == [['FIRST 1 ("pgherd_nobody")']], PATIENCE)
        assert not waits(primary)
        assert not proved.done()
        primary.signal(checkpointer, signal.SIGCONT)
        assert proved.result(2 * PATIENCE) > 0
    assert waits(primary)


def test_a_wal_sender_that_does_not_read_the_setting_is_no_proof(pair: tuple[Fenced, Fenced]) -> None:
    primary, standby = pair
    require(primary, named(standby))
    sender = backend(primary, "walsender")
    primary.signal(sender, signal.SIGSTOP)
    with pytest.raises(Failed, match="neither goes by the new value nor ends"):
        require(primary, NOBODY)
    primary.signal(sender, signal.SIGCONT)
    assert require(primary, NOBODY) > 0
    assert waits(primary)


def test_a_standby_that_is_cut_off_gets_nothing_more(pair: tuple[Fenced, Fenced]) -> None:
    """Its position is final, until it is told whom to follow."""
    primary, standby = pair
    standby.do("cut_off", configuration=CONFIGURATION)
    seen = standby.do("observe")
    assert (seen["streaming"], seen["following"]) == (False, None)
    primary.do("sql", sql="INSERT INTO t SELECT generate_series(1, 1000)")
    time.sleep(12)  # longer than keys are copied again, and than any retry
    assert standby.do("observe")["position"] == seen["position"]
    assert not primary.do("observe")["senders"]
    standby.do("follow", source=primary.source, configuration=CONFIGURATION)
    eventually("it streams again", lambda: standby.do("observe")["streaming"], PATIENCE)


def test_a_vote_waits_until_all_of_the_own_wal_is_known(pair: tuple[Fenced, Fenced]) -> None:
    """Started again, a standby shows what it has replayed: with its replay held up that is too little."""
    primary, standby = pair
    standby.do("sql", sql="SELECT pg_wal_replay_pause()")
    primary.do("sql", sql="INSERT INTO t SELECT generate_series(1, 100000)")
    end = primary.do("observe")["position"]["lsn"]
    eventually("it has everything", lambda: standby.do("observe")["position"]["lsn"] >= end, PATIENCE)
    primary.do("kill")
    standby.do("kill")
    standby.do("start", writable=False, source=None, configuration=CONFIGURATION)
    standby.do("cut_off", configuration=CONFIGURATION)
    assert standby.do("observe")["position"]["lsn"] >= end


def test_a_receiver_that_reconnects_all_the_time_is_cut_off_too(pair: tuple[Fenced, Fenced]) -> None:
    primary, standby = pair
    primary.do("kill")
    primary.do("start", writable=True, source=None, configuration=CONFIGURATION)
    standby.do("cut_off", configuration=CONFIGURATION)
    time.sleep(2)
    assert not standby.do("observe")["streaming"] and not primary.do("observe")["senders"]
