"""Callbacks and hooks: what they are told and when, that nothing waits for them longer than it should."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.decide.views import lease, primary, standby, stopped
from tests.unit.runtime.stand_ins import Bench, FakePostgres, nothing

from pgherd.model.actions import Promote, Stop
from pgherd.model.knowledge import Attempt, Knowledge, WriteKind
from pgherd.model.server import Process, Server
from pgherd.model.settings import Configuration, InvalidSetting, PostgresConfiguration, read_configuration
from pgherd.runtime.callbacks import Callbacks, Told, news
from pgherd.runtime.tasks import Tasks

PUBLISHED = Knowledge(
    lease(leader="demo-0", address="10.0.0.1"), "7", held=Attempt("n", 1000.0, 10, WriteKind.RENEW, 5, "6")
)
NEVER, REPLICA, PRIMARY = Told(), Told("replica", True), Told("primary", True)


@pytest.mark.parametrize(
    ("told", "role", "ended", "clean", "action", "after"),
    [
        (NEVER, "replica", False, False, "on_start", REPLICA),
        (NEVER, "primary", False, False, "on_start", PRIMARY),
        (NEVER, None, False, False, None, NEVER),  # starting, or not published yet
        (NEVER, None, True, True, None, NEVER),  # stopped as it was
        (REPLICA, "replica", False, False, None, REPLICA),
        (REPLICA, "primary", False, False, "on_role_change", PRIMARY),
        (PRIMARY, "replica", False, False, "on_role_change", REPLICA),
        (PRIMARY, None, True, True, "on_stop", Told("primary", False)),
        (PRIMARY, None, True, False, None, PRIMARY),  # died: nobody stopped it
        (Told("primary", False), "primary", False, False, "on_start", PRIMARY),
        (Told("primary", False), "replica", False, False, "on_role_change", REPLICA),
        (Told("primary", False), None, True, True, None, Told("primary", False)),
    ],
)
def test_what_is_told(
    told: Told, role: str | None, ended: bool, clean: bool, action: str | None, after: Told
) -> None:  # fmt: skip
    assert news(told, role, ended, clean) == (action, after)


class Stage(Bench):
    """A program for every action, which writes down how it was called and sleeps as `seconds` says."""

    limit = 60.0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder, self.calls, self.seconds = folder, folder / "calls", folder / "seconds"
        self.seconds.write_text("0")
        self.program = self.script(
            f'echo "begin $*" >> {self.calls}; sleep $(cat {self.seconds}); echo "end $*" >> {self.calls}'
        )
        names = ("on_start", "on_stop", "on_restart", "on_role_change", "on_reload")
        self.configure(callbacks=dict.fromkeys(names, str(self.program)))
        self.state.knowledge = PUBLISHED
        self.callbacks = Callbacks(self.state, folder, self.clock, self.log)
        self.task: asyncio.Task[None] | None = None

    def script(self, text: str, name: str = "program") -> Path:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def configure(self, **changes: Any) -> None:
        self.state.configuration = Configuration(
            postgresql=PostgresConfiguration(**changes), hook_timeout=self.limit
        )  # fmt: skip

    def sees(self, server: Server) -> None:
        self.state.server = server
        self.callbacks.check()
        self.task = self.task or asyncio.create_task(self.callbacks.run())

    def said(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    async def hears(self, *lines: str) -> None:
        async with asyncio.timeout(20):
            while self.said()[-len(lines) :] != list(lines):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def test_a_life_is_told_in_order(stage: Stage) -> None:
    for server, action, role in (
        (standby(), "on_start", "replica"),
        (primary(), "on_role_change", "primary"),
        (stopped(clean=True, was_primary=True), "on_stop", "primary"),
        (primary(), "on_start", "primary"),
    ):
        stage.sees(server)
        await stage.hears(f"begin {action} {role} demo", f"end {action} {role} demo")
    assert len(stage.said()) == 8


async def test_a_restart_without_a_shutdown_is_told_as_one(stage: Stage) -> None:
    stage.sees(primary())
    await stage.hears("end on_start primary demo")
    for server in (primary(process=Process.CRASHED), stopped(was_primary=True), primary(process=Process.STARTING)):
        stage.sees(server)
    stage.sees(primary())
    await stage.hears("end on_restart primary demo")
    assert len(stage.said()) == 4


async def test_nothing_is_told_of_a_primary_before_clients_are_sent_there(stage: Stage) -> None:
    stage.state.knowledge = msgspec.structs.replace(PUBLISHED, record=lease(leader="demo-0", address=None))
    stage.sees(primary())
    await asyncio.sleep(0.1)
    assert stage.said() == []


async def test_a_newer_one_takes_the_place_of_the_one_that_runs(stage: Stage) -> None:
    stage.seconds.write_text("600")
    stage.sees(standby())
    await stage.hears("begin on_start replica demo")
    stage.seconds.write_text("0")
    stage.sees(primary())
    await stage.hears("end on_role_change primary demo")
    assert stage.said() == [
        "begin on_start replica demo", "begin on_role_change primary demo", "end on_role_change primary demo",
    ]  # fmt: skip


async def test_on_reload_waits_for_the_one_that_runs(stage: Stage) -> None:
    stage.seconds.write_text("0.3")
    stage.sees(standby())
    await stage.hears("begin on_start replica demo")
    stage.callbacks.reloaded()
    await stage.hears("end on_start replica demo", "begin on_reload replica demo", "end on_reload replica demo")


async def test_an_agent_that_starts_anew_tells_nothing_twice_and_what_was_missed(stage: Stage) -> None:
    stage.sees(standby())
    await stage.hears("end on_start replica demo")
    anew = Callbacks(stage.state, stage.folder, stage.clock, stage.log)
    anew.check()
    assert anew._next is None
    stage.state.server = primary()
    anew.check()
    assert anew._next == "on_role_change"


async def test_output_and_failure_are_logged_and_change_nothing(stage: Stage) -> None:
    stage.script("echo it does not work; exit 3")
    stage.sees(standby())
    await reached_slowly(lambda: "it does not work" in stage.output.getvalue())
    stage.sees(primary())
    await reached_slowly(lambda: stage.output.getvalue().count("it does not work") == 2)


async def reached_slowly(check: Any) -> None:
    async with asyncio.timeout(20):
        while not check():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


# Hooks


class Ordering(Stage):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.server = FakePostgres()
        self.tasks = Tasks(
            self.state,
            self.server,
            self.look,
            nothing,
            nothing,
            time.monotonic,
            self.log,
            lambda _: None,
            lambda *_: None,
        )
        self.state.server = standby()

    async def look(self) -> None:
        pass

    async def carry_out(self, action: Any) -> None:
        self.tasks.order(action)
        await reached_slowly(lambda: self.state.task is None)


@pytest.fixture
def ordering(tmp_path: Path) -> Ordering:
    return Ordering(tmp_path)


async def test_a_promotion_waits_for_its_hook(ordering: Ordering) -> None:
    ordering.configure(pre_promote=f"{ordering.program} now")
    await ordering.carry_out(Promote(3))
    assert ordering.said() == ["begin now", "end now"] and ordering.server.calls == ["promote 3"]


@pytest.mark.parametrize("text", ["exit 1", "exec sleep 600"])
async def test_a_promotion_whose_hook_fails_or_hangs_does_not_happen(
    text: str, ordering: Ordering
) -> None:  # fmt: skip
    ordering.limit = 1.0
    ordering.configure(pre_promote=str(ordering.script(text, "hook")))
    await ordering.carry_out(Promote(3))
    assert ordering.server.calls == []
    assert [failure.kind.value for failure in ordering.state.failures] == ["promoting"]  # and so the lease is given up


async def test_who_is_told_to_stop_does_not_wait_for_the_hook_and_promotes_nothing(ordering: Ordering) -> None:
    ordering.configure(pre_promote=str(ordering.script(f"echo called >> {ordering.calls}; exec sleep 600", "hook")))
    ordering.tasks.order(Promote(3))
    await ordering.hears("called")
    await ordering.carry_out(Stop(1.0))
    assert ordering.server.calls == ["stop"]


@pytest.mark.parametrize("limit", [0, 0.5, 3601])
def test_a_time_limit_that_cannot_work_is_refused(limit: float) -> None:
    with pytest.raises(InvalidSetting, match=f"hook_timeout={limit:g}: must be from 1 to 3600 s"):
        read_configuration(msgspec.json.encode({"hook_timeout": limit}).decode())


@pytest.mark.parametrize(
    ("text", "server"), [("exit 1", standby()), ("true", primary()), ("exec sleep 600", primary())]
)
async def test_a_shutdown_waits_for_its_hook_and_happens_whatever_it_says(
    text: str, server: Server, ordering: Ordering
) -> None:
    ordering.state.server = server
    ordering.configure(before_stop=str(ordering.script(f"echo called >> {ordering.calls}; {text}", "hook")))
    await ordering.carry_out(Stop(1.0))
    assert ordering.said() == ["called"] and ordering.server.calls == ["stop"]


async def test_what_does_not_run_is_stopped_without_a_hook(ordering: Ordering) -> None:
    ordering.state.server = stopped()
    ordering.configure(before_stop=str(ordering.program))
    await ordering.carry_out(Stop(1.0))
    assert ordering.said() == [] and ordering.server.calls == ["stop"]


async def test_a_program_that_is_not_there_is_a_failure(ordering: Ordering) -> None:
    ordering.configure(pre_promote="/nowhere/to/be/found")
    await ordering.carry_out(Promote(3))
    assert ordering.server.calls == [] and "No such file" in ordering.state.failures[0].error


@pytest.mark.parametrize(
    ("postgresql", "named"),
    [
        ({"callbacks": {"on_fire": "/x"}}, "callbacks.on_fire: must be one of on_start, on_stop"),
        ({"callbacks": {"on_start": "x.sh"}}, "must begin with the absolute path"),
        ({"callbacks": {"on_start": ""}}, "must begin with the absolute path"),
        ({"pre_promote": "/x 'y"}, 'pre_promote="/x \'y": is no command line'),
        ({"before_stop": 5}, r"\$.postgresql.before_stop"),
    ],
)
def test_a_hook_that_cannot_work_is_refused_by_name(postgresql: Any, named: str) -> None:
    with pytest.raises(InvalidSetting, match=named):
        read_configuration(msgspec.json.encode({"postgresql": postgresql}).decode())
