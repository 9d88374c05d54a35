# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules have in common that ask the agents: options, one look at the cluster, and how each of them ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .asking import Book, Invalid, NotDone, Request, outcome, send
from .client import Api, ApiError, Unreachable
from .lease import Lease, read_lease
from .readiness import members_of
from .waiting import wait

OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "namespace": {"type": "str", "required": True},
    "cluster": {"type": "str", "required": True},
    "label_prefix": {"type": "str", "default": "pgherd.dev/"},
    "lock_kind": {"type": "str", "choices": ["Endpoints", "EndpointSlice"]},
    "request_id": {"type": "str"},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 180},
}


@dataclass(frozen=True)
class Sight:
    """One look at a cluster."""

    lease: Lease
    members: tuple[dict[str, Any], ...]

    @property
    def leader(self) -> str:
        return self.lease.leader

    @property
    def names(self) -> list[str]:
        return [each["name"] for each in self.members]

    def known(self, name: str, option: str) -> None:
        """Raises Invalid for a name that no pod has."""
        if name not in self.names:
            raise Invalid(f"{option}={name!r}: is no member; must be one of {', '.join(self.names) or '(none)'}")


@dataclass(frozen=True)
class Asker:
    """The cluster that a module was called for."""

    api: Api
    params: Mapping[str, Any]
    check: bool = False

    @property
    def book(self) -> Book:
        return Book(self.api, self.params["namespace"], self.params["cluster"])

    @property
    def seconds(self) -> float:
        return float(self.params["wait_timeout"]) if self.params["wait"] else 0.0

    def look(self) -> Sight:
        """Raises Invalid when there is no such cluster."""
        namespace, cluster, prefix = (self.params[name] for name in ("namespace", "cluster", "label_prefix"))
        lease = read_lease(self.api, namespace, cluster, self.params["lock_kind"])
        if lease is None:
            kind = self.params["lock_kind"] or "Endpoints or EndpointSlice"
            raise Invalid(
                f"there is no cluster {cluster} in namespace {namespace}: no {kind} {cluster}-ha. "
                "playbooks/site.yml makes it"
            )
        selector = {f"{prefix}cluster": cluster}
        return Sight(lease, members_of(self.api, namespace, selector, lease.leader, prefix))

    def works_again(self, request: Request, before: Sight, was_candidate: bool | None = None) -> None:
        """Wait until the member is ready and, if it was a candidate, is one again. Raises NotDone when time is up.

        Only a record that the leader wrote twice since then counts: the first may have been on its way.
        """
        member, done = request.member, self.look().lease.written
        streamed = member in before.lease.candidates if was_candidate is None else was_candidate

        def well(sight: Sight) -> bool:
            ready = any(each["name"] == member and each["ready"] for each in sight.members)
            again = sight.leader == member or not streamed or member in sight.lease.candidates
            return ready and again and newer(sight.lease.written, done)

        def look() -> Sight:
            try:
                return self.look()
            except Unreachable:
                return before  # which is not well: its lease is older than `done`

        namespace, prefix = self.params["namespace"], self.params["label_prefix"]
        selector = f"{prefix}cluster={self.params['cluster']}"
        seen = wait(self.api, namespace, selector, look, well, self.seconds, before.lease.kind)
        if not well(seen):
            what = "is ready and a candidate" if streamed else "is ready"
            raise NotDone(f"{request}; but it is not so within {self.seconds:g} s that it {what} again", request)

    def ask(self, request: Request) -> tuple[Request, bool]:
        """Its end, and whether this call has moved anything: what was over before it has not. Raises NotDone."""
        sent = send(self.book, request)
        return outcome(self.book, sent, self.seconds), not sent.finished


def newer(now: tuple[int | None, int | None], before: tuple[int | None, int | None]) -> bool:
    """Whether the holder wrote at least twice since then, or another holds the lease."""
    (epoch, serial), (old, last) = now, before
    return epoch != old or (serial is not None and serial >= (last or 0) + 2)


def result_of(requests: Sequence[Request], changed: bool, text: str, **more: Any) -> dict[str, Any]:
    return {"changed": changed, "requests": [each.shown() for each in requests], "msg": text, **more}


def end(module: Any, run: Callable[[], dict[str, Any]]) -> None:
    """Run it and end the module with its result, or with the one sentence that says why not."""
    try:
        result = run()
    except NotDone as error:
        done = [each.shown() for each in error.done if each.id != error.request.id]
        module.fail_json(msg=str(error), changed=bool(done), requests=[*done, error.request.shown()])
    except (Invalid, ApiError, Unreachable) as error:
        module.fail_json(msg=str(error))
    else:
        module.exit_json(**result)
