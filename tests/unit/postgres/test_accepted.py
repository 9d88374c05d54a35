"""What a start uses while a newer configuration is not proved, and what PostgreSQL's refusals say."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from tests.unit.postgres.test_render import SOURCE, settings

from pgherd.model.settings import Configuration, Identity, InvalidSetting, PostgresConfiguration, PostgresSettings
from pgherd.postgres import accepted, check, configure, render
from pgherd.postgres.accepted import UNPROVED, Accepted, for_start
from pgherd.postgres.apply import Applier
from pgherd.postgres.layout import Layout

OLD = PostgresConfiguration({"work_mem": "4MB"}, ("host old",), ("m old demo",))
NEW = PostgresConfiguration({"work_mem": "5MB"}, ("host new",), ("m new demo",))
STARTED = {"work_mem": "4MB"}


@pytest.mark.parametrize(
    ("known", "problems", "failed", "parameters", "hba"),
    [
        (Accepted(), False, None, NEW.parameters, UNPROVED),  # a first start
        (Accepted(), True, None, {}, UNPROVED),
        (Accepted(OLD, STARTED), False, None, NEW.parameters, OLD.pg_hba),  # rules are proved by a running server
        (Accepted(OLD, STARTED), True, None, OLD.parameters, OLD.pg_hba),
        (Accepted(NEW, STARTED), False, None, NEW.parameters, NEW.pg_hba),
        (Accepted(NEW, STARTED), False, NEW.parameters, STARTED, NEW.pg_hba),  # they did not start
        (Accepted(None, STARTED), True, None, STARTED, UNPROVED),
        (Accepted(NEW, None), False, NEW.parameters, NEW.parameters, NEW.pg_hba),  # nothing better is known
    ],
)
def test_a_start_uses_what_is_proved(
    known: Accepted, problems: bool, failed: dict[str, Any] | None, parameters: dict[str, Any], hba: tuple[str, ...]
) -> None:
    usable = for_start(NEW, known, problems, failed)
    assert (usable.parameters, usable.pg_hba) == (parameters, hba)


def test_no_rules_of_the_user_need_no_proof() -> None:
    assert for_start(PostgresConfiguration(), Accepted(), False, None).pg_hba == ()


def test_it_is_remembered_on_the_volume(tmp_path: Path) -> None:
    layout = Layout(PostgresSettings(15, "/bin", str(tmp_path / "data"), str(tmp_path)), str(tmp_path))
    assert accepted.read(layout) == Accepted()
    accepted.write(layout, Accepted(OLD, STARTED))
    assert accepted.read(layout) == Accepted(OLD, STARTED)
    (tmp_path / accepted.FILE).write_text("{half")
    assert accepted.read(layout) == Accepted()


OUTPUT = """\
2026-01-01 00:00:00.5 GMT [1] LOG:  skipping missing configuration file "/t/postgresql.auto.conf"
2026-01-01 00:00:00.5 GMT [1] LOG:  unrecognized configuration parameter "lala" in file "/t/postgresql.conf" line 1
2026-01-01 00:00:00.5 GMT [1] LOG:  invalid value for parameter "wal_level": "foo"
2026-01-01 00:00:00.5 GMT [1] HINT:  Available values: minimal, replica, logical.
2026-01-01 00:00:00.5 GMT [1] FATAL:  configuration file "/t/postgresql.conf" contains errors
"""


def test_every_mistake_is_said_with_its_hint() -> None:
    assert check.mistakes(OUTPUT) == [
        'unrecognized configuration parameter "lala"',
        'invalid value for parameter "wal_level": "foo" (Available values: minimal, replica, logical)',
    ]
    assert check.mistakes("") == []


@pytest.mark.parametrize(
    "line", ["m one", "@file", "include other", "a b c\nd", "pgherd root postgres", '"pgherd" x y']
)
def test_maps_that_cannot_be_are_refused(line: str) -> None:
    with pytest.raises(InvalidSetting, match="pg_ident"):
        render.pg_ident_conf(Configuration(postgresql=PostgresConfiguration(pg_ident=(line,))), "postgres")


def test_maps_follow_ours() -> None:
    given = Configuration(postgresql=PostgresConfiguration(pg_ident=("# people", "m ann demo")))
    assert render.pg_ident_conf(given, "runner").splitlines()[1:] == [
        "pgherd runner postgres",
        "# people",
        "m ann demo",
    ]


class Server:
    """A running server that refuses what has a given word in it, asked through the views of its files."""

    class info:
        server_version = 150000

    def __init__(self, layout: Layout, word: str) -> None:
        self.layout, self.word = layout, word
        self.asked: list[str] = []
        self.dies = False

    async def execute(self, sql: bytes) -> Server:
        name = configure.HBA if b"hba" in sql else configure.IDENT if b"ident" in sql else ""
        self.rows: list[dict[str, Any]] = []
        if name:
            self.asked.append(name)
            if self.dies:
                raise OSError("gone")
            lines = (self.layout.data / name).read_text().splitlines()
            found = [number for number, line in enumerate(lines, 1) if self.word in line]
            self.rows = [{"line_number": number, "error": "wrong"} for number in found]
        return self

    async def fetchall(self) -> list[dict[str, Any]]:
        return self.rows


class Link:
    async def signal(self, signum: int) -> None:
        pass


class Place:
    """A data directory with OLD accepted and in place, and a server that runs there."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, word: str = "wrong") -> None:
        given = settings(folder)
        self.layout, identity = Layout(given.postgres, str(folder)), Identity("demo-a-0", "ns", "uid", "10.0.0.1")
        for path in (self.layout.data, self.layout.state):
            path.mkdir()
        self.old = Configuration(postgresql=OLD)
        configure.write(self.layout, given, identity, self.old, SOURCE)
        accepted.write(self.layout, Accepted(OLD))
        self.server = Server(self.layout, word)
        self.applier = Applier(self.layout, given, identity, cast(Any, Link()))

        async def nothing_wrong(layout: Layout, conf: str) -> list[str]:
            return []

        monkeypatch.setattr(check, "parameters", nothing_wrong)

    def rules(self) -> str:
        return (self.layout.data / configure.HBA).read_text() + (self.layout.data / configure.IDENT).read_text()

    def reload(self, **changes: Any) -> None:
        postgresql = msgspec.structs.replace(OLD, **changes)
        configuration = Configuration(postgresql=postgresql)
        asyncio.run(self.applier.reload(cast(Any, self.server), configuration))


def test_rules_that_the_server_takes_are_in_place_and_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path, monkeypatch)
    place.reload(pg_hba=("host new",))
    assert "host new" in place.rules()
    known = accepted.read(place.layout).postgresql
    assert known is not None and known.pg_hba == ("host new",)
    place.server.asked.clear()
    place.reload(pg_hba=("host new",))
    assert not place.server.asked, "what is accepted needs no proof"


@pytest.mark.parametrize("changes", [{"pg_hba": ("host wrong",)}, {"pg_ident": ("m wrong demo",)}])
@pytest.mark.parametrize("dies", [False, True])
def test_rules_that_it_refuses_are_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], dies: bool
) -> None:
    place = Place(tmp_path, monkeypatch)
    before, place.server.dies = place.rules(), dies
    with pytest.raises(OSError if dies else InvalidSetting, match="gone" if dies else "wrong"):
        place.reload(**changes)
    assert place.rules() == before and accepted.read(place.layout) == Accepted(OLD)
    assert dies or "wrong" in place.applier.refused


def test_what_an_agent_left_unproved_on_disk_is_proved_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path, monkeypatch)
    before = place.rules()
    hba = place.layout.data / configure.HBA
    hba.write_text(hba.read_text().replace("host old", "host wrong"))  # it died before it could ask
    with pytest.raises(InvalidSetting, match="wrong"):
        place.reload(pg_hba=("host wrong",))
    assert place.rules() == before


def test_another_source_changes_nothing_else(tmp_path: Path) -> None:
    given = settings(tmp_path)
    layout, identity = Layout(given.postgres, str(tmp_path)), Identity("demo-a-0", "ns", "uid", "10.0.0.1")
    layout.data.mkdir()
    configure.write(layout, given, identity, Configuration(postgresql=OLD), None)
    assert configure.point(layout, given, identity, Configuration(), SOURCE)
    text = (layout.data / configure.CONF).read_text()
    assert "host=demo-b-0.demo-pods" in text and "work_mem = '4MB'" in text
    assert not configure.point(layout, given, identity, Configuration(), SOURCE)


def test_what_must_be_the_same_everywhere_is_not_altered_on_one_member(tmp_path: Path) -> None:
    given = settings(tmp_path)
    layout, identity = Layout(given.postgres, str(tmp_path)), Identity("demo-a-0", "ns", "uid", "10.0.0.1")
    layout.data.mkdir()
    (layout.data / "postgresql.auto.conf").write_text("max_connections = '7'\nwork_mem = '7MB'\njit = 'on'\n")
    same = Configuration(postgresql=PostgresConfiguration({"max_connections": 50, "work_mem": "4MB"}))
    configure.write(layout, given, identity, same, None, {"max_connections": 80})
    assert (layout.data / "postgresql.auto.conf").read_text() == "work_mem = '7MB'\njit = 'on'\n"
    assert "max_connections = '80'" in (layout.data / configure.CONF).read_text(), "what the WAL demands"
