"""Declared slots in Patroni's shape, and what cannot work."""

from __future__ import annotations

import msgspec
import pytest

from pgherd.model.settings import InvalidSetting, read_configuration
from pgherd.model.slots import Matcher, Permanent


def test_slots_are_read_in_patronis_shape() -> None:
    text = """{"slots": {"a": null, "b": {}, "c": {"type": "physical", "cluster_type": "primary"},
      "d": {"type": "logical", "database": "app", "plugin": "pgoutput"},
      "e": {"database": "app", "plugin": "wal2json"}},
      "permanent_slots": {"a": {"type": "logical", "database": "x", "plugin": "y"}, "f": null},
      "ignore_slots": [{"name": "x"}, {"type": "logical", "plugin": "decoderbufs"}]}"""
    configuration = read_configuration(text)
    kinds = {name: slot.kind for name, slot in configuration.permanent.items()}
    assert kinds == {"a": "physical", "b": "physical", "c": "physical", "d": "logical", "e": "logical", "f": "physical"}
    assert set(configuration.logical_slots) == {"d", "e"}
    assert configuration.ignore_slots == (Matcher(name="x"), Matcher(type="logical", plugin="decoderbufs"))


def test_a_slot_of_a_standby_cluster_is_left_out() -> None:
    text = '{"slots": {"a": {"cluster_type": "standby"}, "b": {"cluster_type": "primary"}}}'
    assert read_configuration(text).permanent == {"b": Permanent(cluster_type="primary")}


@pytest.mark.parametrize(
    ("slots", "named"),
    [
        ({"Upper": None}, "a-z0-9_"),
        ({"a" * 64: None}, "a-z0-9_"),
        ({"a": {"type": "temporary"}}, "temporary"),
        ({"a": {"type": "logical"}}, "needs database and plugin"),
        ({"a": {"type": "logical", "database": "app"}}, "needs database and plugin"),
        ({"a": {"type": "physical", "plugin": "x"}}, "neither database nor plugin"),
        ({"a": {"plugin": "x"}}, "needs both"),
        ({"a": {"cluster_type": "any"}}, "any"),
        ({"a": 5}, "slots"),
    ],
)
def test_what_cannot_be_a_slot_is_refused(slots: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidSetting, match=named):
        read_configuration(msgspec.json.encode({"slots": slots}).decode())


@pytest.mark.parametrize("matcher", [{}, {"names": "x"}, {"type": "other"}])
def test_a_matcher_that_says_nothing_is_refused(matcher: dict[str, object]) -> None:
    with pytest.raises(InvalidSetting, match="ignore_slots"):
        read_configuration(msgspec.json.encode({"ignore_slots": [matcher]}).decode())


@pytest.mark.parametrize(
    ("matcher", "matches"),
    [
        (Matcher(name="cdc"), True),
        (Matcher(name="cd"), False),
        (Matcher(type="logical"), True),
        (Matcher(type="physical"), False),
        (Matcher(type="logical", database="app", plugin="pgoutput"), True),
        (Matcher(type="logical", database="other"), False),
    ],
)
def test_a_matcher_wants_all_that_it_names(matcher: Matcher, matches: bool) -> None:
    assert matcher.matches("cdc", "logical", "app", "pgoutput") is matches
