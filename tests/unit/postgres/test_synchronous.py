"""synchronous_standby_names as text, and how it stays in the file whatever else is written (S3)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.rest.stand_ins import Authority

from pgherd.model.settings import Configuration, Identity, PostgresSettings, Settings
from pgherd.model.synchronous import ALONE, WAIT, Rule, Standby
from pgherd.postgres import configure, keys, synchronous
from pgherd.postgres.layout import Layout
from pgherd.postgres.source import Source

A, B = Standby("demo-a-0", "1"), Standby("demo-b-0", "2")


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (ALONE, ""),
        (WAIT, 'FIRST 1 ("pgherd_nobody")'),
        (Rule((A,), 1), 'FIRST 1 ("demo-a-0")'),
        (Rule((A, B), 2), 'FIRST 2 ("demo-a-0", "demo-b-0")'),
        (Rule((A, B), 1), 'ANY 1 ("demo-a-0", "demo-b-0")'),
    ],
)
def test_a_rule_as_postgresql_reads_it(rule: Rule, text: str) -> None:
    assert synchronous.setting(rule) == text


@pytest.fixture
def given(tmp_path: Path) -> Settings:
    data = tmp_path / "data"
    data.mkdir()
    server = PostgresSettings(
        version=17, bin_directory="/usr/bin", data_directory=str(data), state_directory=str(tmp_path / "state"),
        certificates=str(tmp_path / "tls"),
    )  # fmt: skip
    return Settings(cluster="demo", postgres=server, members=("demo-a-0", "demo-b-0"))


def test_only_who_orders_it_changes_the_value(given: Settings) -> None:
    layout, identity, source = (
        Layout(given.postgres),
        Identity("demo-a-0", "ns", "u", "::1"),
        Source("m", "::1", 1, "s"),
    )
    conf = layout.data / "postgresql.conf"
    configure.write(layout, given, identity, Configuration(), source)
    assert "synchronous_standby_names = ''\n" in conf.read_text() and not configure.synchronous(layout)
    assert configure.require(layout, synchronous.setting(Rule((B,), 1)))
    line = "synchronous_standby_names = 'FIRST 1 (\"demo-b-0\")'\n"
    for followed in (configure.AS_IT_IS, source, None):
        configure.write(layout, given, identity, Configuration(), followed)
        assert line in conf.read_text() and configure.synchronous(layout)
    configure.point(layout, given, identity, Configuration(), None)
    assert line in conf.read_text()
    configure.write(layout, given, identity, Configuration(), source, names="")
    assert not configure.synchronous(layout) and not configure.require(layout, "")


def test_a_withheld_key_is_not_there_until_it_is_copied_again(given: Settings, tmp_path: Path) -> None:
    layout = Layout(given.postgres, str(tmp_path / "memory"))
    folder = tmp_path / "tls/replication"
    Authority().write(folder, "pgherd_replication")
    keys.refresh(layout)
    keys.withhold(layout)
    keys.withhold(layout)
    assert not (layout.keys / "tls.key").exists()
    keys.refresh(layout)
    assert (layout.keys / "tls.key").read_bytes() == (folder / "tls.key").read_bytes()
