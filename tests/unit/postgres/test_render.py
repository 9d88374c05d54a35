"""Configuration text: the product's keys win, nothing of the user's leaves its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pgherd.model.settings import (
    Configuration,
    Identity,
    InvalidSetting,
    PostgresConfiguration,
    PostgresSettings,
    Settings,
)
from pgherd.model.slots import Permanent
from pgherd.postgres import configure, render
from pgherd.postgres.layout import Layout
from pgherd.postgres.source import Source

SOURCE = Source("demo-b-0", "10.0.0.2", 5432, "demo_a_0")


def settings(root: Path) -> Settings:
    return Settings(
        cluster="demo",
        members=("demo-a-0", "demo-b-0"),
        postgres=PostgresSettings(
            version=17, bin_directory="/bin", data_directory=str(root / "data"), state_directory=str(root / "state")
        ),
    )


def conf(parameters: dict[str, Any], source: Source | None = None) -> dict[str, str]:
    given = settings(Path("/pgdata"))
    configuration = Configuration(postgresql=PostgresConfiguration(parameters=parameters))
    layout = Layout(given.postgres, "/tmp")
    text = render.postgresql_conf(given, layout, configuration, "demo-a-0", "demo_a_0", source)
    lines = (line.split(" = ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: value.strip("'") for name, value in lines}


def test_the_products_keys_win() -> None:
    given = conf({"wal_level": "minimal", "SSL": "off", "max_wal_senders": 3, "restart_after_crash": "off"})
    assert (given["wal_level"], given["ssl"], given["max_wal_senders"]) == ("logical", "on", "10")
    assert "restart_after_crash" not in given
    assert conf({"max_wal_senders": "25"})["max_wal_senders"] == "25"


def test_the_rest_is_the_users() -> None:
    given = conf({"jit": True, "work_mem": "5MB", "shared_buffers": 1024, "search_path": "it's"})
    assert (given["jit"], given["work_mem"], given["shared_buffers"]) == ("on", "5MB", "1024")
    assert given["search_path"] == "it''s"


def test_declared_logical_slots_bring_what_they_need() -> None:
    given = settings(Path("/pgdata"))
    declared = Configuration(slots={"cdc": Permanent("logical", "app", "pgoutput")})
    assert render.synchronised(given, declared) == {"hot_standby_feedback": "on", "sync_replication_slots": "on"}
    assert render.synchronised(given, Configuration(slots={"store": None})) == {}
    assert render.replication_slots(given, declared) == 10
    many = Configuration(slots={f"s{number}": None for number in range(20)})
    assert render.replication_slots(given, many) == 2 + 20 + render.SPARE_SLOTS
    without = Configuration(postgresql=PostgresConfiguration(use_slots=False))
    text = render.postgresql_conf(given, Layout(given.postgres, "/tmp"), without, "demo-a-0", "demo_a_0", SOURCE)
    assert "primary_slot_name = ''" in text


@pytest.mark.parametrize(
    "parameters",
    [{"a b": "1"}, {"work_mem": "1\nssl = off"}, {"work_mem": ["1"]}, {"x = 1\ny": "1"}, {"max_wal_senders": "many"}],
)
def test_what_would_not_be_one_line_is_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match=r"postgresql\.parameters"):
        conf(parameters)


def test_a_followed_member_is_read_back() -> None:
    given = conf({}, SOURCE)
    text = given["primary_conninfo"]
    assert "hostaddr=10.0.0.2" in text
    assert "sslmode=verify-full" in text
    assert "password" not in text
    assert given["primary_slot_name"] == "demo_a_0"
    assert render.followed(text, "", "demo") == "demo-b-0"
    assert render.followed("", "", "demo") is None
    assert conf({})["primary_conninfo"] == ""


def test_hba_puts_ours_first() -> None:
    user = Configuration(postgresql=PostgresConfiguration(pg_hba=("host all all all trust",)))
    lines = render.pg_hba_conf(user, mapped=False).splitlines()
    assert lines[1] == "local all postgres peer"
    assert lines[-1] == "host all all all trust"
    assert render.pg_hba_conf(Configuration(), mapped=False).splitlines()[-1] == "hostssl all all all scram-sha-256"
    with pytest.raises(InvalidSetting):
        render.pg_hba_conf(Configuration(postgresql=PostgresConfiguration(pg_hba=("a\nb",))), mapped=False)


def test_a_pooler_logs_in_with_its_certificate_to_one_database_and_nowhere_else() -> None:
    lines = render.pg_hba_conf(Configuration(), mapped=False, pooler=True).splitlines()
    rules = [line for line in lines if "pgherd_pooler" in line]
    assert rules == ["hostssl postgres pgherd_pooler all cert", "host all pgherd_pooler all reject"]
    assert lines.index(rules[-1]) < len(lines) - 1, "before the rules for everybody"
    assert "pooler" not in "".join(render.pg_hba_conf(Configuration(), mapped=False))


def test_a_reload_leaves_alone_whom_it_follows(tmp_path: Path) -> None:
    given = settings(tmp_path)
    layout = Layout(given.postgres, str(tmp_path))
    layout.data.mkdir()
    (layout.data / "postgresql.auto.conf").write_text("wal_level = 'minimal'\nwork_mem = '7MB'\n")
    identity = Identity("demo-a-0", "ns", "uid", "10.0.0.1")
    assert configure.write(layout, given, identity, Configuration(), SOURCE)
    followed = (layout.data / "postgresql.conf").read_text()
    assert not configure.write(layout, given, identity, Configuration(), configure.AS_IT_IS)
    assert (layout.data / "postgresql.conf").read_text() == followed
    assert (layout.data / "postgresql.auto.conf").read_text() == "work_mem = '7MB'\n"
