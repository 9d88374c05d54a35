# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out the next step of a rollout, or wait until there is one.

One call does one step at most and keeps nothing: whoever calls again, this play or the next one, looks at the cluster
anew. What a step has begun (a pod that is gone, a request that runs) is seen there like everything else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .apply import Scope
from .asking import Book, make, outcome, send
from .client import MERGE_PATCH, Api, ApiError
from .members import published
from .names import FIELD_MANAGER, path
from .rollout_observe import TOLD, Place, Sight, look
from .rollout_plan import Plan, Step, plan
from .waiting import Watched, wait_on

SAID_SECONDS = 15.0
"""For a member to say in its pod's annotation that it was restarted; one that does not is looked at as it is."""
POLL = 0.3


class Stuck(Exception):
    """A step was begun and did not end in time; running again goes on."""


@dataclass(frozen=True)
class Progress:
    plan: Plan
    """Before the step."""
    step: Step | None = None
    """What was done."""


def advance(
    api: Api, place: Place, shutdown: bool, seconds: float, approve: Callable[[tuple[Step, ...]], None], limit: float
) -> Progress:
    """The next step, if one may begin within `seconds`; once begun it has `limit` seconds to end.

    Raises Stuck, NotDone, ApiError, Unreachable, and what `approve` raises of all steps that are left.
    """

    def seen() -> tuple[Sight, Plan]:
        sight = look(api, place)
        return sight, plan(sight.cluster, shutdown)

    def ripe(found: tuple[Sight, Plan]) -> bool:
        what = found[1]
        return what.done or bool(what.refusals) or what.next is not None

    selector = Scope(place.namespace, place.selector).query()
    kinds = ("Pod", "StatefulSet", "PersistentVolumeClaim", place.lock_kind, "ConfigMap")
    watched = [Watched(path(kind, place.namespace), selector) for kind in kinds]
    sight, what = wait_on(api, watched, seen, ripe, seconds)
    if what.refusals or what.next is None:
        return Progress(what)
    approve(what.steps)
    DOES[what.next.kind](api, place, sight, what.next, limit)
    return Progress(what, what.next)


def _settings(api: Api, place: Place, sight: Sight, step: Step, limit: float) -> None:
    """A changed annotation makes the kubelet look at a pod's volumes at once, not within a minute or two."""
    for name in step.members:
        change = {"metadata": {"annotations": {place.prefix + TOLD: sight.settings}}}
        _patch(api, path("Pod", place.namespace, name), change)


def _scale(replicas: int) -> Callable[[Api, Place, Sight, Step, float], None]:
    def scale(api: Api, place: Place, sight: Sight, step: Step, limit: float) -> None:
        for name in step.members:
            owner = sight.sets[name]["metadata"]["name"]
            _patch(api, path("StatefulSet", place.namespace, owner), {"spec": {"replicas": replicas}})
            if replicas == 0 and name != step.members[-1]:
                # Whoever is seen to go is nobody's successor.
                _until(api, place, name, lambda pod: pod is None or "deletionTimestamp" in pod["metadata"], limit)

    return scale


def _replace(api: Api, place: Place, sight: Sight, step: Step, limit: float) -> None:
    """Exactly the pod that was seen: its StatefulSet makes the next one of the newest template."""
    name = step.members[0]
    _delete(api, path("Pod", place.namespace, name), sight.pods[name]["metadata"]["uid"])


def _restart(api: Api, place: Place, sight: Sight, step: Step, limit: float) -> None:
    """Of what still waits for a restart only: asked for twice, it is done once."""
    book = Book(api, place.namespace, place.cluster)
    name = step.members[0]
    outcome(book, send(book, make("restart", name, parameters={"only_pending": True})), limit)
    before = published(sight.pods[name], place.prefix)
    deadline = time.monotonic() + SAID_SECONDS
    # Its agent says at once that nothing waits any more; before that the next look would ask for a restart again.
    while time.monotonic() < deadline:
        pod = _pod(api, place, name)
        if pod is None or published(pod, place.prefix).get("pending_restart") != before.get("pending_restart"):
            return
        time.sleep(POLL)


def _switchover(api: Api, place: Place, sight: Sight, step: Step, limit: float) -> None:
    leader, target = step.members
    book = Book(api, place.namespace, place.cluster)
    outcome(book, send(book, make("switchover", target, leader=leader)), limit)


def _remove(api: Api, place: Place, sight: Sight, step: Step, limit: float) -> None:
    """The member, then its certificate; never its volume: declared again it finds its data."""
    name = step.members[0]
    owner = sight.sets[name]["metadata"]
    _delete(api, path("StatefulSet", place.namespace, owner["name"]), owner["uid"])
    _until(api, place, name, lambda pod: pod is None, limit)
    secret = path("Secret", place.namespace, f"{owner['name']}-certs")
    try:
        _delete(api, secret, api.request("GET", secret)["metadata"]["uid"])
    except ApiError as error:
        if error.status != 404:
            raise


DOES: Mapping[str, Callable[[Api, Place, Sight, Step, float], None]] = {
    "settings": _settings,
    "start": _scale(1),
    "stop": _scale(0),
    "replace": _replace,
    "restart": _restart,
    "switchover": _switchover,
    "remove": _remove,
}


def _patch(api: Api, where: str, change: Mapping[str, Any]) -> None:
    api.request("PATCH", where, {"metadata": {}, **change}, {"fieldManager": FIELD_MANAGER}, MERGE_PATCH)


def _delete(api: Api, where: str, uid: str) -> None:
    """One that is gone already, or another of that name, is fine: the next look says what there is."""
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
               "preconditions": {"uid": uid}}  # fmt: skip
    try:
        api.request("DELETE", where, options)
    except ApiError as error:
        if error.status not in (404, 409):
            raise


def _until(
    api: Api, place: Place, name: str, check: Callable[[dict[str, Any] | None], bool], limit: float
) -> None:  # fmt: skip
    deadline = time.monotonic() + limit
    while not check(_pod(api, place, name)):
        if time.monotonic() > deadline:
            raise Stuck(f"after {limit:g} s pod {name} is still there. Run again to go on.")
        time.sleep(POLL)


def _pod(api: Api, place: Place, name: str) -> dict[str, Any] | None:
    try:
        return api.request("GET", path("Pod", place.namespace, name))
    except ApiError as error:
        if error.status != 404:
            raise
        return None
