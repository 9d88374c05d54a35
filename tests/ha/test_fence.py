"""The fence as PID 1 with a real PostgreSQL: nothing writes after the deadline, whatever the agent does (S1, S4)."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from pgherd.model.mapping import boottime
from tests.ha.fenced import CONFIGURATION, PATIENCE, Failed, Fenced, Writer, members
from tests.ha.harness.wait import eventually

ATTEMPT = {
    "nonce": "n1", "t0": 12.5, "ttl": 10.0, "kind": "renew", "epoch": 3, "version": "77",
    "candidates": [{"member": "m2", "incarnation": "i2"}], "pause": False,
}  # fmt: skip
BUSY = """DO $$ BEGIN
  LOOP INSERT INTO busy VALUES (clock_timestamp()); COMMIT; END LOOP;
END $$"""


@pytest.fixture
def member() -> Iterator[Fenced]:
    with members(1, 25510) as (one,):
        yield one


def busy_backend(member: Fenced) -> threading.Thread:
    """A backend that commits in a loop by itself: it needs neither its client nor its postmaster."""
    with member.connect() as connection:
        connection.execute("CREATE TABLE busy (at timestamptz)")

    def loop() -> None:
        with suppress(psycopg.Error), member.connect() as connection:
            connection.execute(BUSY)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    eventually("it commits", lambda: member.do("sql", sql="SELECT count(*) FROM busy")[0][0] > 10, PATIENCE)
    return thread


def gone(member: Fenced) -> bool:
    return not member.on_data()


def test_the_deadline_kills_postmaster_and_a_backend_that_outlives_it(member: Fenced) -> None:
    member.start()
    member.primary()
    thread = busy_backend(member)
    deadline = member.do("arm", seconds=3.0, lease=8.0)
    eventually("the fence's account", lambda: member.events("fence_killed"), PATIENCE)
    assert gone(member), "something still works in the data directory after the pass"
    (account,) = member.events("fence_killed")
    assert deadline == account["deadline"] <= account["killed_at"] < account["lease_ends_at"]
    thread.join(PATIENCE)
    assert member.do("state") | {"armed": False} == {
        "postgres_pid": None, "armed": False, "overdue": False, "dead": True, "writable": False, "kills": 1,
    }  # fmt: skip
    assert not (member.data / "postmaster.pid").exists()
    assert not (member.root / "run/overdue").exists()


def test_in_a_recorded_pause_the_deadline_kills_nobody_and_the_next_arming_counts_again(member: Fenced) -> None:
    member.start()
    member.primary()
    member.do("arm", seconds=1.0)
    member.do("pause")
    time.sleep(2.0)
    assert member.do("observe")["primary"] and not member.events("fence_killed")
    member.do("kill")
    member.do("start", writable=True, source=None, configuration=CONFIGURATION)  # by hand, through the fence
    assert member.do("observe")["primary"]
    deadline = member.do("arm", seconds=0.5)
    eventually("the fence's account", lambda: member.events("fence_killed"), PATIENCE)
    assert gone(member) and member.events("fence_killed")[0]["deadline"] == deadline


def test_a_postmaster_that_died_takes_its_backends_along_before_anything_starts_again(member: Fenced) -> None:
    member.start()
    member.primary()
    thread = busy_backend(member)
    postmaster = member.do("state")["postgres_pid"]
    member.signal(postmaster, signal.SIGKILL)
    eventually("an empty pass", lambda: member.do("state")["dead"], PATIENCE)
    assert gone(member)
    thread.join(PATIENCE)
    seen = member.do("observe")
    assert (seen["process"], seen["was_primary"], seen["clean"]) == ("stopped", True, False)
    member.do("start", writable=True, source=None, configuration=CONFIGURATION)
    assert member.do("observe")["primary"]


def test_withdrawing_the_deadline_kills_at_once(member: Fenced) -> None:
    member.start()
    member.primary()
    writer = Writer(member)
    member.do("withdraw")
    eventually("nothing lives", lambda: gone(member), PATIENCE)
    writer.end()
    assert writer.error is not None


def test_a_writable_start_without_a_deadline_in_the_future_is_refused(member: Fenced) -> None:
    member.start()
    member.do("initialise")
    start = {"writable": True, "source": None, "configuration": CONFIGURATION}
    with pytest.raises(Failed, match="S4"):
        member.do("start", **start)
    deadline = member.do("arm", seconds=0.3)
    eventually("the deadline passed", lambda: boottime() > deadline, PATIENCE)
    with pytest.raises(Failed, match="S4"):
        member.do("start", **start)
    assert gone(member)


def test_a_late_start_dies_at_the_deadline(member: Fenced) -> None:
    member.start()
    member.do("initialise")
    for seconds in (0.5, 1.0, 2.0, 4.0):  # a machine that is too slow for one may refuse to start at all
        member.do("arm", seconds=seconds, lease=seconds + 5.0)
        with suppress(Failed):  # it may still answer in time
            member.do("start", writable=True, source=None, configuration=CONFIGURATION)
        eventually("the deadline passed", lambda: not member.do("state")["armed"], PATIENCE)
        eventually("nothing lives", lambda: gone(member), PATIENCE)
        if member.events("fence_killed"):
            return
    raise AssertionError("PostgreSQL was never started before its deadline")


def test_an_agent_that_crashes_costs_no_write(member: Fenced) -> None:
    member.start()
    member.primary()
    deadline = member.do("deadline")
    member.do("attempt", **ATTEMPT)
    sleeper = member.do("sleeper")
    writer = Writer(member)
    agent, postmaster = member.do("pid"), member.do("state")["postgres_pid"]
    member.signal(agent, signal.SIGKILL)

    def replaced() -> int | None:
        with suppress(OSError, ValueError):
            return int(member.do("pid"))
        return None

    successor = eventually("another agent", lambda: (pid := replaced()) != agent and pid, PATIENCE)
    before = len(writer.acknowledged)
    eventually("writes go on", lambda: len(writer.acknowledged) > before + 10, PATIENCE)
    writer.end()
    assert writer.error is None
    assert successor != agent
    assert member.do("state")["postgres_pid"] == postmaster
    assert member.do("deadline") == deadline
    assert member.do("attempts") == [ATTEMPT]
    assert member.do("observe")["primary"]
    assert sleeper not in member.namespace(), "a child of the old agent still works beside the new one"
    member.do("forget", nonces=["n1"])
    assert member.do("attempts") == []


def test_a_frozen_agent_is_replaced_after_postgresql_is_dead(member: Fenced) -> None:
    member.start(PGHERD_AGENT_SILENCE="1")
    member.primary()
    writer = Writer(member)
    agent = member.do("pid")
    deadline = member.do("arm", seconds=4.0, lease=5.0)
    member.signal(agent, signal.SIGSTOP)
    eventually("the fence's account", lambda: member.events("fence_killed"), PATIENCE)
    assert gone(member)
    writer.end()
    (account,) = member.events("fence_killed")
    last = writer.acknowledged[-1]
    assert last < account["killed_at"] < account["lease_ends_at"]
    eventually("the agent is replaced", lambda: member.events("agent_frozen"), PATIENCE)
    eventually("another agent", lambda: agent not in member.namespace(), PATIENCE)
    assert member.do("pid") != agent
    assert member.do("deadline") == deadline, "a new agent inherits the deadline, passed as it is"
    with pytest.raises(Failed, match="S4"):
        member.do("start", writable=True, source=None, configuration=CONFIGURATION)
    member.do("arm", seconds=600)
    member.do("start", writable=True, source=None, configuration=CONFIGURATION)
    rows = member.do("sql", sql="SELECT count(*) FROM written")[0][0]
    assert rows >= len(writer.acknowledged), "an acknowledged commit is missing"


def test_a_frozen_agent_of_an_idle_member_is_replaced(member: Fenced) -> None:
    member.start(PGHERD_AGENT_SILENCE="1")
    agent = member.do("pid")
    member.signal(agent, signal.SIGSTOP)
    eventually("the agent is replaced", lambda: member.events("agent_frozen"), PATIENCE)
    eventually("another agent", lambda: agent not in member.namespace(), PATIENCE)
    assert member.do("pid") != agent


def test_sigterm_lets_the_agent_shut_down_and_ends(member: Fenced) -> None:
    member.start()
    member.primary()
    writer = Writer(member)
    member.terminate()
    assert member.ended() == 0
    writer.end()
    assert gone(member)
    member.start()
    seen = member.do("observe")
    assert (seen["process"], seen["clean"], seen["was_primary"]) == ("stopped", True, True)


def test_sigterm_ends_in_the_killing_pass_when_the_agent_does_not(member: Fenced) -> None:
    member.start(PGHERD_ON_TERM="ignore", PGHERD_GRACE="1")
    member.primary()
    member.terminate()
    assert member.ended() == 0
    assert gone(member)


def test_only_one_container_uses_a_volume(member: Fenced) -> None:
    member.start()
    member.primary()
    other = Fenced.__new__(Fenced)
    other.__dict__.update(member.__dict__)
    other.root = Path(f"{member.root}-other")
    other.root.mkdir()
    for name in ("settings.yaml", "tls"):
        (other.root / name).symlink_to(member.root / name)
    (other.root / "run").mkdir(mode=0o777)
    other.root.chmod(0o777)
    other.log = other.root / "stderr"
    try:
        other.start()
        with pytest.raises(Failed, match="locked by another container"):
            other.do("prepare")
        assert member.do("observe")["primary"]
    finally:
        other.close()
