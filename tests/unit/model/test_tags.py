"""Tags: which values work, how they are said, and what they mean."""

from __future__ import annotations

from typing import Any

import pytest

from pgherd.model import tags
from pgherd.model.settings import InvalidSetting, read_settings

SETTINGS = """
cluster: demo
members: [m0, m1]
postgres: {version: 17, bin_directory: /bin, data_directory: /pgdata/pg17, state_directory: /pgdata/pgherd}
"""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"nofailover": True, "nosync": False}, {"nofailover": "true"}),
        ({"failover_priority": 0, "sync_priority": 5}, {"failover_priority": "0", "sync_priority": "5"}),
        ({"replicatefrom": "m0"}, {"replicatefrom": "m0"}),
        (
            {"zone": "a", "ssd": True, "cold": False, "rack": 7},
            {"zone": "a", "ssd": "true", "cold": "false", "rack": "7"},
        ),
    ],
)
def test_tags_are_said_as_text_and_a_switch_that_is_off_is_not_there(given: Any, said: Any) -> None:
    assert tags.published(given) == said
    text = SETTINGS + f"tags: {{m1: {given}}}"
    assert tags.published(read_settings(text).tags["m1"]) == said


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"nofailover": "yes"}, r"tags.m1.nofailover='yes': must be true or false"),
        ({"failover_priority": -1}, r"tags.m1.failover_priority=-1: must be a whole number from 0"),
        ({"failover_priority": True}, "failover_priority=True"),
        ({"sync_priority": 1.5}, "sync_priority=1.5"),
        ({"replicatefrom": "m1"}, "replicatefrom='m1': must be the name of another declared member: m0"),
        ({"replicatefrom": "m7"}, "replicatefrom='m7'"),
        ({"nostream": True}, "nostream=True: needs an archive"),
        ({"zone": ["a"]}, "must be a text, a number, true or false"),
    ],
)
def test_what_cannot_work_is_refused_by_member_tag_and_value(given: Any, named: str) -> None:
    with pytest.raises(InvalidSetting, match=named):
        read_settings(SETTINGS + f"tags: {{m1: {given}}}")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("tags: {m9: {nosync: true}}", "tags.m9: must be one of the members m0, m1"),
        ("tags: {m0: {nofailover: true}, m1: {failover_priority: 0}}", "nobody|no member may lead"),
    ],
)
def test_tags_that_fit_no_cluster_are_refused(text: str, named: str) -> None:
    with pytest.raises(InvalidSetting, match=named):
        read_settings(SETTINGS + text)


@pytest.mark.parametrize(
    ("said", "never", "priority"),
    [
        ({}, False, 1),
        ({"nofailover": "true"}, True, 1),
        ({"nofailover": "true", "failover_priority": "7"}, True, 7),
        ({"failover_priority": "0"}, True, 0),
        ({"failover_priority": "7"}, False, 7),
        ({"failover_priority": "of another version"}, False, 1),
    ],
)
def test_who_never_leads_and_who_leads_rather(said: dict[str, str], never: bool, priority: int) -> None:
    assert (tags.never_leads(said), tags.priority(said)) == (never, priority)
