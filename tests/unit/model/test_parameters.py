"""Parameters that members need of each other: what a start may use, and who must restart."""

from __future__ import annotations

from typing import Any

import pytest

from pgherd.model.parameters import at_least, cramped, held_back, impossible, whole


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (100, 100),
        ("100", 100),
        (" 0x64 ", 100),
        (100.0, 100),
        ("many", None),
        (None, None),
        ("", None),
        ("100kB", None),
    ],
)
def test_whole_numbers_as_postgresql_reads_them(value: Any, expected: int | None) -> None:
    assert whole(value) == expected


@pytest.mark.parametrize(
    ("parameters", "floor", "expected"),
    [
        ({}, {}, {}),
        ({"max_connections": 60}, {"max_connections": 100}, {"max_connections": 100}),
        ({"max_connections": "60"}, {"max_connections": 100}, {"max_connections": 100}),
        ({"max_connections": 130}, {"max_connections": 100}, {"max_connections": 130}),
        ({}, {"max_connections": 100, "max_worker_processes": 8}, {}),  # what is used where nobody says anything
        ({}, {"max_worker_processes": 16}, {"max_worker_processes": 16}),
        ({"work_mem": "4MB"}, {"work_mem": 10}, {"work_mem": "4MB"}),
        (
            {"max_locks_per_transaction": "nonsense"},
            {"max_locks_per_transaction": 64},
            {"max_locks_per_transaction": 64},
        ),
    ],
)
def test_a_standby_starts_with_what_its_wal_demands(
    parameters: dict[str, Any], floor: dict[str, int], expected: dict[str, Any]
) -> None:
    assert at_least(parameters, floor) == expected


@pytest.mark.parametrize(
    ("parameters", "standbys", "expected"),
    [
        ({"max_connections": 130}, [], 130),  # nobody else
        ({"max_connections": 130}, [{}], 130),  # nothing known
        ({"max_connections": 130}, [{"max_connections": 60}, {"max_connections": 130}], 60),
        ({"max_connections": 60}, [{"max_connections": 100}], 60),  # shrinking begins here
        ({"MAX_CONNECTIONS": "130"}, [{"max_connections": 60}], 60),
        ({"max_connections": "nonsense"}, [{"max_connections": 60}], "nonsense"),  # refused elsewhere
    ],
)
def test_a_primary_does_not_start_with_more_than_its_standbys(
    parameters: dict[str, Any], standbys: list[dict[str, int]], expected: object
) -> None:
    assert held_back(parameters, standbys)["max_connections"] == expected


def test_what_nobody_configured_is_held_back_too() -> None:
    """The parameter was taken out of the configuration: the usual value may be the larger one."""
    assert held_back({}, [{"max_connections": 60}]) == {"max_connections": 60}
    assert held_back({}, [{"max_connections": 100}]) == {}


@pytest.mark.parametrize(
    ("running", "needed", "expected"),
    [
        ({"max_connections": 100}, {"max_connections": 100}, ()),
        ({"max_connections": 130}, {"max_connections": 100}, ()),
        ({"max_connections": 100}, {"max_connections": 130}, ("max_connections 100 < 130",)),
        ({}, {"max_connections": 130}, ()),
        ({"max_connections": 100}, {}, ()),
    ],
)
def test_who_runs_with_less_than_its_wal_demands(
    running: dict[str, int], needed: dict[str, int], expected: tuple[str, ...]
) -> None:
    assert cramped(running, needed) == expected


@pytest.mark.parametrize(
    ("parameters", "possible"),
    [
        ({}, True),
        ({"max_connections": 3}, False),
        ({"max_connections": 4}, True),
        ({"max_connections": 20, "superuser_reserved_connections": 20}, False),
        ({"max_connections": 20, "reserved_connections": 17}, False),
        ({"max_connections": "nonsense"}, True),  # PostgreSQL says that itself
    ],
)
def test_what_only_a_start_would_refuse(parameters: dict[str, Any], possible: bool) -> None:
    assert (impossible(parameters) == []) is possible
