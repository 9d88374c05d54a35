"""The route is changed once in a failover, never leads to a standby, and waits for nobody for long."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.decide.views import NOW, holding, leader_view, lease, primary, standby, stopped, view

from pgherd.decide.route import UNPUBLISHED, wanted
from pgherd.model.server import Process
from pgherd.model.view import View

OWN, OLD = "10.0.0.1", "10.0.0.9"
PUBLISHED = lease(leader="m1", address=OWN)
TAKEN = lease(leader="m1", address=None)


def holds(record: Any, since: float = 1.0) -> View:
    known = msgspec.structs.replace(holding(record), held_from=NOW - since)
    return leader_view(knowledge=known, server=standby())


@pytest.mark.parametrize("seen", [(), (OWN,), (OLD,), (OWN, OLD), (OLD, OWN)])
def test_who_is_published_has_all_clients(seen: tuple[str, ...]) -> None:
    assert wanted(holds(PUBLISHED), seen, NOW) == (OWN,)


@pytest.mark.parametrize(("since", "route"), [(0.0, (OLD,)), (UNPUBLISHED - 0.1, (OLD,)), (UNPUBLISHED, ())])
def test_the_former_leaders_route_is_left_while_the_next_one_promotes(since: float, route: tuple[str, ...]) -> None:
    assert wanted(holds(TAKEN, since), (OLD,), NOW) == route


@pytest.mark.parametrize(("server", "route"), [(standby(), ()), (stopped(), (OWN,)), (primary(promoting=True), (OWN,))])
def test_who_was_the_leader_and_is_again_takes_no_clients_before_it_is_promoted(server: Any, route: Any) -> None:
    """It may start as a standby first, to be promoted."""
    again = msgspec.structs.replace(holds(TAKEN), server=server)
    assert wanted(again, (OWN,), NOW) == route


@pytest.mark.parametrize(
    ("server", "route"),
    [
        (standby(), (OLD,)),
        (standby(process=Process.STARTING), (OWN, OLD)),
        (stopped(), (OWN, OLD)),
        (primary(), (OWN, OLD)),  # killed for it (S1)
    ],
)
def test_who_holds_nothing_takes_itself_out_once_it_is_a_standby(server: Any, route: tuple[str, ...]) -> None:
    assert wanted(view(server=server), (OWN, OLD), NOW) == route
    assert wanted(view(server=server), (OLD,), NOW) == (OLD,), "others are none of its business"


def test_a_lease_that_has_ended_brings_no_clients() -> None:
    ended = NOW + 60
    assert wanted(holds(PUBLISHED), (OLD,), ended) == (OLD,)
