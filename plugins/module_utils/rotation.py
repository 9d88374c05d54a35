# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the Secrets of the certificates to what they should be, step by step, as fast as the members follow.

Each step applies Secrets, touches the pods that have not followed (a kubelet that is told of a change of the pod reads
its Secrets at once instead of within a minute or two), and waits until they say so. When time is up the rest is
left to the next call, which begins by looking.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from . import brought
from .apply import Outcome, Refused, Scope, apply_all, in_parallel, observe, read
from .client import MERGE_PATCH, Api, ApiError
from .issuing import Authority, Expected, Issue, Issued, Member, Policy, issue, pair_of, unconfirmed, value_of
from .names import FIELD_MANAGER, path
from .pooler import READ_ONLY_ROLE, ROLE
from .published import said_by
from .reporting import by_name
from .waiting import wait
from .x509 import authority_problem, expires, fingerprint

AUTHORITY_KEYS = (("root.crt", "root.key"), ("tls.crt", "tls.key"))
"""Under which a Secret that belongs to others may have its pair: PGO's names first."""


@dataclass(frozen=True)
class Wanted:
    """Options of the module `pki`, as documented there."""

    scope: Scope
    labels: Mapping[str, str]
    prefix: str
    authority: Authority
    authority_secret: str
    leaves: Sequence[Mapping[str, Any]]
    custom: Sequence[Mapping[str, Any]]
    policy: Policy
    lock_kind: str = "Endpoints"


@dataclass(frozen=True)
class Result:
    outcomes: tuple[Outcome, ...]
    issued: tuple[Issued, ...]
    waiting: tuple[str, ...]
    """What members and poolers have not done yet; empty when nothing is left to wait for."""
    replacing: bool
    later: str


def rotate(api: Api, wanted: Wanted, clock: Callable[[], datetime], seconds: float, check: bool) -> Result:
    """As many steps as fit into `seconds`. Raises Refused when what somebody brought along cannot work; then nothing
    was changed."""
    outcomes, reasons = list[Outcome](), dict[str, str]()
    end = time.monotonic() + seconds
    extra, wanted = _brought_along(api, wanted, clock())
    while True:
        found, moved = _step(api, wanted, clock(), check)
        outcomes += moved
        reasons |= {each.secret: each.reason for each in found.issued if each.reason}
        expected = [*found.expected, *(each.expected for each in extra if each.expected)]
        late = () if check else _late(api, wanted, expected, found.replacing)
        waiting = _follow(api, wanted, expected, found.replacing, end - time.monotonic()) if late else ()
        if found.held and not check and not waiting:
            waiting = _poolers_follow(found.held, clock, end - time.monotonic())
        wanted = replace(wanted, policy=replace(wanted.policy, renew=frozenset()))  # once is enough
        news = late or found.held or any(each.moved for each in moved)
        if check or waiting or not found.replacing or not news:
            break
    issued = tuple(replace(each, reason=reasons.get(each.secret, "")) for each in (*found.issued, *extra))
    return Result(tuple(_last(outcomes)), issued, waiting, found.replacing, found.later)


def _step(api: Api, wanted: Wanted, now: datetime, check: bool) -> tuple[Issue, list[Outcome]]:
    namespace = wanted.scope.namespace
    names = [each["secret"] for each in wanted.leaves]
    names += [] if wanted.authority_secret else [wanted.authority.secret]
    declared = [{"kind": "Secret", "metadata": {"name": name, "namespace": namespace}} for name in names]
    live = observe(api, wanted.scope, ["Secret"], declared)
    found = issue(
        wanted.authority, wanted.leaves, by_name(live.values()), members(api, wanted), wanted.policy,
        {"namespace": namespace, "labels": dict(wanted.labels)}, now, generate=not check,
    )  # fmt: skip
    definitions = [each.definition for each in found.issued if each.definition]
    return found, apply_all(api, definitions, live, check)


def _last(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """One for each object: what it was before the first step, what it is after the last, whether it moved at all."""
    result = dict[str, Outcome]()
    for each in outcomes:
        first = result.get(each.name)
        if first is None or not first.moved:
            result[each.name] = each
        elif each.moved:
            fields = tuple(dict.fromkeys((*first.fields, *each.fields)))
            result[each.name] = replace(first, fields=fields, after=each.after)
    return list(result.values())


def members(api: Api, wanted: Wanted) -> list[Member]:
    """Pods that run PostgreSQL or a pooler, and are to go on doing so."""
    pods = api.request("GET", path("Pod", wanted.scope.namespace), query=wanted.scope.query())["items"]
    return [
        _member(pod, wanted.prefix)
        for pod in pods
        if (f"{wanted.prefix}instance" in (pod["metadata"].get("labels") or {}) or _is_pooler(pod, wanted.prefix))
        and "deletionTimestamp" not in pod["metadata"]
        and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    ]


def _is_pooler(pod: Mapping[str, Any], prefix: str) -> bool:
    return (pod["metadata"].get("labels") or {}).get(f"{prefix}role") in (ROLE, READ_ONLY_ROLE)


def _member(pod: Mapping[str, Any], prefix: str) -> Member:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return Member(pod["metadata"]["name"], said_by(pod, prefix), ready, silent=_is_pooler(pod, prefix))


def _follow(
    api: Api, wanted: Wanted, expected: Sequence[Expected], everybody: bool, seconds: float
) -> tuple[str, ...]:  # fmt: skip
    """Who has not followed when all have, or when the time is up."""
    _touch(api, wanted, expected)
    return wait(
        api,
        wanted.scope.namespace,
        wanted.scope.query()["labelSelector"],
        lambda: _late(api, wanted, expected, everybody),
        lambda late: not late,
        seconds,
        wanted.lock_kind,
    )


def _poolers_follow(until: datetime, clock: Callable[[], datetime], seconds: float) -> tuple[str, ...]:
    """They say nothing, so that there is nothing to wait for but the time."""
    time.sleep(max(0.0, min(seconds, (until - clock()).total_seconds())))
    return () if clock() >= until else (f"poolers have until {until:%H:%M:%S} UTC to use their new certificate",)


def _late(api: Api, wanted: Wanted, expected: Sequence[Expected], everybody: bool) -> tuple[str, ...]:
    return tuple(unconfirmed(expected, members(api, wanted), everybody))


def _touch(api: Api, wanted: Wanted, expected: Sequence[Expected]) -> None:
    """The same for the same certificates, so that a repeated step touches nothing."""
    text = json.dumps(sorted([each.serves, *sorted(each.trusts)] for each in expected))
    note = {f"{wanted.prefix}certificates-wanted": hashlib.sha256(text.encode()).hexdigest()[:16]}

    def one(member: Member) -> None:
        where = path("Pod", wanted.scope.namespace, member.name)
        try:
            api.request(
                "PATCH", where, {"metadata": {"annotations": note}}, {"fieldManager": FIELD_MANAGER}, MERGE_PATCH
            )
        except ApiError as error:
            if error.status != 404:
                raise

    in_parallel(one, members(api, wanted))


def _brought_along(api: Api, wanted: Wanted, now: datetime) -> tuple[list[Issued], Wanted]:
    """Certificates, and perhaps an authority, that are others' to renew. Raises Refused naming all that is wrong."""
    texts, found = list[str](), list[Issued]()
    sound = list[tuple[Mapping[str, Any], Mapping[str, bytes]]]()
    for each in wanted.custom:
        secret = _secret(api, wanted, each["secret"])
        data = {key: value_of(secret, key) for key in (secret.get("data") or {})} if secret else None
        problems = brought.problems(each, data, now)
        texts += problems
        if data and not problems:
            sound.append((each, data))
            found.append(_custom(each, data))
    texts += brought.strangers(sound, now)
    if wanted.authority_secret:
        pair = next(
            (p for names in AUTHORITY_KEYS if (p := pair_of(_secret(api, wanted, wanted.authority_secret), *names))),
            None,
        )
        problem = authority_problem(pair, now, ours=False)
        if problem:
            texts.append(f"postgres_authority_secret: Secret {wanted.authority_secret}: {problem}")
        wanted = replace(wanted, authority=replace(wanted.authority, secret=wanted.authority_secret, brought=pair))
    if texts:
        raise Refused(f"{'; '.join(texts)}. Nothing was changed.")
    return found, wanted


def _custom(each: Mapping[str, Any], data: Mapping[str, bytes]) -> Issued:
    certificate = data[each["items"]["tls.crt"]]
    expected = Expected(each["kind"], "", fingerprint(certificate), frozenset())
    return Issued(each["secret"], each["kind"], None, "", expires(certificate).isoformat(), expected)


def _secret(api: Api, wanted: Wanted, name: str) -> dict[str, Any] | None:
    return read(api, {"kind": "Secret", "metadata": {"name": name, "namespace": wanted.scope.namespace}})
