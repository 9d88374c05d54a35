"""When declared users are brought into the server, what counts as changed by hand, and what is reported."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.runtime.stand_ins import FREE, Bench, FakePostgres, reached

from pgherd.access import Done, Outcome, Passwords
from pgherd.model.access import Code, Declared, Drift, Report, Said, SecretSeen, read_report, revision, write_report
from pgherd.runtime import access
from pgherd.runtime.access import Access

TEXT = json.dumps({"users": [{"name": "app", "secret": "demo-pguser-app"}]})
FINE = Said(Code.APPLIED, secret="3")


class Connection:
    closed = False

    async def close(self) -> None:
        self.closed = True


class Server(FakePostgres):
    def __init__(self) -> None:
        super().__init__()
        self.connections: list[Connection] = []

    async def connection(self) -> Any:
        self.connections.append(Connection())
        return self.connections[-1]


class Parts:
    """`passes` has what each pass was given; `finds` and `says` what a pass does and says."""

    def __init__(self, folder: Path) -> None:
        self.bench, self.server = Bench(folder), Server()
        self.passes: list[tuple[Declared, dict[str, str | None], bool]] = []
        self.finds: tuple[str, ...] = ()
        """What the next pass changes for user app."""
        self.says: dict[str, Said] = {"app": FINE}
        self.fails: Exception | None = None
        self.access = Access(self.bench.state, self.server, self.bench.stores, self._apply, self.bench.log)

    async def _apply(
        self,
        connection: Any,
        declared: Declared,
        secrets: Mapping[str, SecretSeen | None],
        known: Passwords,
        inside: bool,
    ) -> Outcome:
        seen = {name: found.data["password"].decode() if found else None for name, found in secrets.items()}
        self.passes.append((declared, seen, inside))
        if self.fails is not None:
            raise self.fails
        done, self.finds = self.finds, ()
        return Outcome(tuple(Done("user app", text) for text in done), self.says, {})

    @property
    def report(self) -> Report | None:
        return read_report(self.bench.memory.users.value.report)

    async def seen(self, password: str) -> None:
        await reached(lambda: bool(self.passes) and self.passes[-1][1] == {"demo-pguser-app": password})

    async def another(self) -> None:
        """The end of the next pass, and of its report."""
        count = len(self.passes)
        await reached(lambda: len(self.passes) > count + 1)

    def log(self, code: str) -> list[str]:
        lines = map(json.loads, self.bench.output.getvalue().splitlines())
        return [line["text"] for line in lines if line["code"] == code]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Waits are over at once, and every look enters the databases only when it should."""
    for name, seconds in (("AGAIN", 0.01), ("RETRY", 0.01), ("CONFLICT", 0.01), ("GATHER", 0.0)):
        monkeypatch.setattr(access, name, seconds)

    def run(script: Callable[[Parts], Awaitable[None]]) -> Parts:
        async def whole() -> Parts:
            parts = Parts(tmp_path)
            loop = asyncio.create_task(parts.access.run())
            try:
                await script(parts)
            finally:
                loop.cancel()
            return parts

        return asyncio.run(whole())

    return run


def test_a_declaration_and_each_change_of_a_secret_are_applied_and_reported(play: Any) -> None:
    async def script(parts: Parts) -> None:
        memory = parts.bench.memory
        memory.declare_users(TEXT)
        memory.put_secret("demo-pguser-app", password="one")
        parts.access.order()
        await parts.seen("one")
        memory.put_secret("demo-pguser-app", password="two")
        await parts.seen("two")
        await reached(lambda: parts.report is not None)
        memory.declare_users('{"users": []}')
        await reached(lambda: parts.passes[-1][0] == Declared())
        await reached(lambda: parts.report is not None and parts.report.revision == revision('{"users": []}'))

    parts = play(script)
    assert parts.report == Report(revision('{"users": []}'), "demo-0", {"app": FINE})
    assert parts.passes[0][2] and all(each.closed for each in parts.server.connections[:-1])
    assert "one" not in parts.bench.output.getvalue() and "two" not in parts.bench.output.getvalue()


def test_only_while_it_is_the_primary(play: Any) -> None:
    async def script(parts: Parts) -> None:
        memory = parts.bench.memory
        memory.declare_users(TEXT)
        memory.put_secret("demo-pguser-app", password="one")
        await asyncio.sleep(0.05)
        assert parts.passes == []
        parts.access.order()
        await parts.seen("one")
        parts.access.stop()
        await reached(lambda: not memory.secret("demo-pguser-app")._changed)
        count = len(parts.passes)
        memory.put_secret("demo-pguser-app", password="two")
        await asyncio.sleep(0.05)
        assert len(parts.passes) == count and parts.bench.state.access is None
        parts.access.order()  # primary again: what was changed meanwhile is applied
        await parts.seen("two")

    play(script)


def test_what_differs_without_a_change_of_the_declaration_was_changed_by_hand(play: Any) -> None:
    async def script(parts: Parts) -> None:
        memory = parts.bench.memory
        before = Report("older", "demo-1", drift=(Drift("then", "set the options of role app"),), repaired=4)
        memory.users.put(msgspec.structs.replace(memory.users.value, report=write_report(before)))
        memory.declare_users(TEXT)
        memory.put_secret("demo-pguser-app", password="one")
        parts.finds = ("create role app",)
        parts.access.order()
        await parts.seen("one")
        await parts.another()
        assert parts.report is not None and parts.report.repaired == 4
        parts.finds = ("set the password of role app", "set the options of role app")
        await reached(lambda: parts.report is not None and parts.report.repaired == 6)

    parts = play(script)
    assert [drift.what for drift in parts.report.drift] == [
        "set the options of role app", "set the password of role app", "set the options of role app"
    ]  # fmt: skip
    assert parts.log("users") == ["create role app"]
    assert parts.log("user-drift") == [
        "changed by hand and put back as declared: set the password of role app; set the options of role app"
    ]


def test_a_new_primary_puts_right_what_it_finds_and_calls_none_of_it_drift(play: Any) -> None:
    async def script(parts: Parts) -> None:
        memory = parts.bench.memory
        memory.declare_users(TEXT)
        memory.put_secret("demo-pguser-app", password="one")
        parts.access.order()
        await parts.seen("one")
        await parts.another()
        parts.access.stop()
        await reached(lambda: parts.bench.state.access is None)
        parts.finds = ("set the options of role app",)
        parts.bench.state.knowledge = msgspec.structs.replace(
            parts.bench.state.knowledge, record=msgspec.structs.replace(FREE, epoch=7)
        )
        parts.access.order()
        await reached(lambda: parts.log("users") == ["set the options of role app"])
        await parts.another()

    parts = play(script)
    assert parts.report.repaired == 0 and parts.log("user-drift") == []


def test_what_is_wrong_is_said_once_looked_at_again_and_is_no_drift_when_it_is_put_right(play: Any) -> None:
    async def script(parts: Parts) -> None:
        memory = parts.bench.memory
        parts.says = {"app": Said(Code.OWNS_OBJECTS, "it owns objects")}
        memory.declare_users(TEXT)
        memory.put_secret("demo-pguser-app", password="one")
        parts.access.order()
        await parts.seen("one")
        await parts.another()
        assert all(inside for _, _, inside in parts.passes), "what is wrong may be in a database"
        parts.says, parts.finds = {"app": FINE}, ("drop role app",)
        await reached(lambda: parts.report is not None and not parts.report.wrong)
        await parts.another()

    parts = play(script)
    assert parts.log("users-wrong") == ["user app: owns-objects: it owns objects"]
    assert parts.report.repaired == 0 and not parts.passes[-1][2]


def test_one_users_trouble_hides_no_drift_of_another(play: Any) -> None:
    async def script(parts: Parts) -> None:
        parts.says = {"app": FINE, "old": Said(Code.OWNS_OBJECTS, "it owns objects")}
        parts.bench.memory.declare_users(TEXT)
        parts.bench.memory.put_secret("demo-pguser-app", password="one")
        parts.access.order()
        await parts.seen("one")
        await parts.another()
        parts.finds = ("set the options of role app",)
        await reached(lambda: parts.report is not None and parts.report.repaired == 1)

    assert play(script).log("user-drift") != []


def test_a_declaration_that_cannot_be_read_is_said_and_nothing_is_done(play: Any) -> None:
    async def script(parts: Parts) -> None:
        parts.bench.memory.declare_users('{"users": [{"name": "app", "surplus": 1}]}')
        parts.access.order()
        await reached(lambda: parts.report is not None)

    parts = play(script)
    assert "surplus" in parts.report.trouble and parts.passes == []


def test_an_error_is_said_once_and_tried_again(play: Any) -> None:
    async def script(parts: Parts) -> None:
        parts.fails = ConnectionError("the connection to PostgreSQL has ended")
        parts.bench.memory.declare_users(TEXT)
        parts.bench.memory.put_secret("demo-pguser-app", password="one")
        parts.access.order()
        await reached(lambda: len(parts.passes) > 3)
        assert parts.report is None
        parts.fails = None
        await reached(lambda: parts.report is not None)

    parts = play(script)
    assert len([text for text in parts.log("users") if "tried again" in text]) == 1
    assert all(each.closed for each in parts.server.connections[:-1])


def test_a_report_is_never_written_over_a_newer_one(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(parts: Parts) -> None:
        memory = parts.bench.memory
        memory.declare_users(TEXT)
        memory.put_secret("demo-pguser-app", password="one")
        silent = memory.users.value
        parts.access.order()
        await parts.seen("one")
        await reached(lambda: parts.report is not None)
        await parts.another()
        memory.users.value = msgspec.structs.replace(silent, version=memory.next_version())  # seen by nobody yet
        parts.says = {"app": Said(Code.APPLIED, secret="9")}
        await parts.another()
        assert memory.users.value.report is None, "its version is another one: Conflict"
        memory.users.put(memory.users.value)
        await reached(lambda: parts.report is not None and parts.report.users["app"].secret == "9")

    play(script)
