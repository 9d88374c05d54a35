"""Tags that a cluster may have: drawn once, since they change only with the pods. Somebody may always lead."""

from __future__ import annotations

from typing import Any

from pgherd.model import tags
from tests.simulation.world import World

Declared = dict[str, dict[str, Any]]


def draw(world: World, names: tuple[str, ...]) -> Declared:
    """For a third of the clusters, circles of `replicatefrom` included."""
    if not world.chance(0.35) or len(names) < 2:
        return {}
    found: Declared = {name: _some(world, name, names) for name in names}
    if all(never_leads(found, name) for name in names):
        found[world.random.choice(names)] = {}
    return found


def _some(world: World, name: str, names: tuple[str, ...]) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    if world.chance(0.25):
        drawn["nofailover"] = True
    if world.chance(0.3):
        drawn["failover_priority"] = world.random.choice([0, 1, 2, 50])
    if world.chance(0.3):
        drawn["clonefrom"] = True
    if world.chance(0.25):
        drawn["replicatefrom"] = world.random.choice([other for other in names if other != name])
    return drawn


def never_leads(declared: Declared, name: str) -> bool:
    return tags.never_leads(tags.published(declared.get(name, {})))


def cascades(declared: Declared, name: str) -> bool:
    """It may stream from another standby, and is no candidate then (S8)."""
    return "replicatefrom" in declared.get(name, {})
