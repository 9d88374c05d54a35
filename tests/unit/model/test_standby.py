"""`standby_cluster`: what is refused, and what else it means for a configuration; lines that part."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pgherd.model.position import Ancestor, Position, parted
from pgherd.model.settings import InvalidSetting, read_configuration


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "standby_cluster.host, restore_command: at least one is needed"),
        ({"host": "a b"}, "standby_cluster.host='a b': must be a DNS name"),
        ({"host": "a,"}, "standby_cluster.host='a,'"),
        ({"host": "a", "port": 0}, "standby_cluster.port=0: must be from 1 to 65535"),
        ({"host": "a", "primary_slot_name": "A-b"}, "primary_slot_name='A-b': must be 1 to 63"),
        ({"restore_command": "x %f %p", "primary_slot_name": "a"}, "needs host"),
        ({"restore_command": "cp %p"}, "restore_command='cp %p': must contain %f and %p"),
        ({"host": "a", "archive_cleanup_command": "a\nb"}, "must be one line"),
        ({"host": "a", "recovery_min_apply_delay": "soon"}, "recovery_min_apply_delay='soon'"),
        ({"host": "a", "create_replica_methods": ["wal_e"]}, "must be basebackup"),
        ({"host": "a", "sslmode": "prefer"}, "sslmode"),
        ({"host": "a", "hots": "b"}, "hots"),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSetting, match="standby_cluster") as refused:
        read_configuration(json.dumps({"standby_cluster": given}))
    assert said in str(refused.value)


def test_a_restore_command_of_any_cluster() -> None:
    with pytest.raises(InvalidSetting, match="%f and %p"):
        read_configuration(json.dumps({"postgresql": {"parameters": {"restore_command": "cp"}}}))
    found = read_configuration(json.dumps({"postgresql": {"parameters": {"Restore_Command": "cp /a/%f %p"}}}))
    assert found.postgresql.restore_command == "cp /a/%f %p"


def test_there_are_no_commits_to_wait_for_and_no_logical_slots() -> None:
    slots = {"a": None, "b": {"database": "x", "plugin": "y"}, "c": {"cluster_type": "standby"}}
    text = {"synchronous_mode": "quorum", "slots": slots}
    ordinary = read_configuration(json.dumps(text))
    assert ordinary.synchronous and ordinary.quorum and set(ordinary.permanent) == {"a", "b"}
    found = read_configuration(json.dumps({**text, "standby_cluster": {"host": "a,b", "recovery_min_apply_delay": 5}}))
    assert not found.synchronous and found.commits_wait and set(found.permanent) == {"a", "c"}


ONE, TWO = (Ancestor(1, 100),), (Ancestor(1, 100), Ancestor(2, 200))


@pytest.mark.parametrize(
    ("own", "history", "other", "theirs", "apart"),
    [
        (Position(2, 150), ONE, Position(2, 180), ONE, False),
        (Position(2, 150), ONE, Position(3, 250), TWO, False),
        (Position(2, 250), ONE, Position(3, 250), TWO, True),
        (Position(1, 90), (), Position(3, 250), TWO, False),
        # The same number of another line, and another number in the same place.
        (Position(2, 150), (Ancestor(1, 90),), Position(2, 150), ONE, True),
        (Position(3, 250), (Ancestor(1, 100), Ancestor(2, 190)), Position(3, 250), TWO, True),
        (Position(4, 250), (Ancestor(1, 100), Ancestor(3, 200)), Position(3, 250), TWO, True),
    ],
)
def test_whether_two_lines_have_parted(own: Any, history: Any, other: Any, theirs: Any, apart: bool) -> None:
    assert parted(own, history, other, theirs) is apart
    assert parted(other, theirs, own, history) is apart
