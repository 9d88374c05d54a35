# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Secrets should be now, and what has to be seen before they may become what they should be next.

An authority is replaced in three steps, and which one it is follows from what is there alone, so that a run that was
interrupted anywhere is finished by the next:

1. The new one exists, every `ca.crt` has both, leaves are still the old one's.
2. Every member says that it trusts the new one (and the clients have had their time): it signs all leaves.
3. Every member says that it uses the new leaves, and poolers, which say nothing, have had their time: the old one goes
   from every `ca.crt`.

Decides; makes keys only when it may. No API and no clock.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from .difference import LATER
from .pooler import CERTIFICATE as POOLER
from .x509 import (
    Leaf,
    Pair,
    authority_problem,
    born,
    expires,
    fingerprint,
    leaf_of,
    leaf_problem,
    new_authority,
    new_leaf,
    signed_by,
    unusable,
    valid_certificates,
)

AUTHORITY = "authority"
ASKED = "it was asked for"
POOLERS_TIME = timedelta(seconds=150)
"""From a new certificate to its use: a kubelet that was not told reads a Secret anew within two minutes, a pooler looks
every few seconds."""


@dataclass(frozen=True)
class Policy:
    """Options of the module `pki`, as documented there."""

    authority_life: timedelta = timedelta(days=3650)
    leaf_life: timedelta = timedelta(days=365)
    overlap: timedelta = timedelta(0)
    renew: frozenset[str] = frozenset()
    """Kinds to make anew although they are good."""
    since: str = "pgherd.dev/authority-since"
    """Annotation of a Secret while an authority is replaced: which new one clients find in its `ca.crt`, since when."""


@dataclass(frozen=True)
class Member:
    """A pod that uses certificates, and what it says of them: by kind `serves`, `trusts`, `refused`."""

    name: str
    said: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ready: bool = True
    silent: bool = False
    """A pooler: it follows and does not say so."""


@dataclass(frozen=True)
class Expected:
    """What members should say of one kind."""

    kind: str
    member: str
    """The only one that uses it; empty when all do."""
    serves: str
    trusts: frozenset[str]


@dataclass(frozen=True)
class Issued:
    """One Secret with what happened to its certificate. One that is only read has no definition."""

    secret: str
    kind: str
    definition: dict[str, Any] | None
    reason: str
    """Why it was made anew; empty when it was kept."""
    expires: str
    expected: Expected | None = None


@dataclass(frozen=True)
class Issue:
    """The outcome of one look."""

    issued: tuple[Issued, ...]
    replacing: bool
    """An authority is being replaced, and this was not its last step."""
    later: str = ""
    """Why the next step is not due for days, whatever members say."""
    held: datetime | None = None
    """Until when the last step waits for poolers, although every member has followed."""

    @property
    def expected(self) -> tuple[Expected, ...]:
        return tuple(each.expected for each in self.issued if each.expected)


@dataclass(frozen=True)
class Authority:
    """Where the signing pair is: a Secret of the cluster's own, or one that belongs to somebody else (`brought`)."""

    secret: str
    common_name: str
    brought: Pair | None = None


def issue(
    authority: Authority,
    leaves: Sequence[Mapping[str, Any]],
    live: Mapping[str, Mapping[str, Any]],
    members: Sequence[Member],
    policy: Policy,
    metadata: Mapping[str, Any],
    now: datetime,
    generate: bool,
) -> Issue:
    """The Secrets as they should be now. `live` has those that are there, by name. Without `generate` nothing is made:
    new values are `(known after apply)`."""
    pairs = {each["secret"]: pair_of(live.get(each["secret"])) for each in leaves}
    found = authority.brought or pair_of(live.get(authority.secret))
    known = _known_roots(authority, leaves, live, now)
    problem = None if authority.brought else authority_problem(found, now)
    if not problem and AUTHORITY in policy.renew and found and not _replacing(pairs.values(), found, known):
        problem = ASKED
    signer = found
    if problem:
        signer = new_authority(authority.common_name, now, policy.authority_life) if generate else None
    if signer is None:
        return Issue(tuple(_unknown(authority, leaves, live, metadata, problem or "")), bool(members))
    roots = [*valid_certificates(signer.certificate, now)[:1]]
    roots += [each for each in known if each not in roots]
    olds = [pair for pair in pairs.values() if _of_another(pair, signer, roots, now)]
    since = _since(signer, leaves, live, policy, now)
    due = since + policy.overlap
    ready = not olds or (now >= due and _all_trust(members, fingerprint(signer.certificate), leaves))
    made = {each["secret"]: _leaf(each, pairs[each["secret"]], signer, ready, policy, now, generate) for each in leaves}
    held = None
    if len(roots) > 1 and _all_use(made, leaves, members, signer):
        held = _poolers_due(made, leaves, members, now)
        roots = roots if held else roots[:1]
    result = [_authority(authority, signer, roots, problem, metadata, live)]
    if len(roots) > 1:
        note = f"{fingerprint(signer.certificate)} {since.isoformat()}"
        metadata = {**metadata, "annotations": {**(metadata.get("annotations") or {}), policy.since: note}}
    result += [_issued(each, *made[each["secret"]], roots, metadata, live) for each in leaves]
    later = f"the new authority signs from {due:%Y-%m-%d %H:%M} UTC on, when clients have had their time"
    return Issue(tuple(result), len(roots) > 1, later if olds and now < due else "", held)


def _known_roots(
    authority: Authority, leaves: Sequence[Mapping[str, Any]], live: Mapping[str, Mapping[str, Any]], now: datetime
) -> list[bytes]:
    """Authorities that somebody may still trust or be signed by, those that have expired left out."""
    texts = [value_of(live.get(each["secret"]), "ca.crt") for each in leaves]
    if not authority.brought:
        texts += [value_of(live.get(authority.secret), key) for key in ("tls.crt", "ca.crt")]
    found = [each for text in texts if text for each in valid_certificates(text, now)]
    return list(dict.fromkeys(found))


def _since(
    signer: Pair, leaves: Sequence[Mapping[str, Any]], live: Mapping[str, Mapping[str, Any]], policy: Policy,
    now: datetime,
) -> datetime:  # fmt: skip
    """When clients could first find the signer in every `ca.crt`: one that was brought along may be years old."""
    return max((_noted(live[each["secret"]], signer, policy, now) for each in leaves if each["secret"] in live),
               default=now)  # fmt: skip


def _noted(secret: Mapping[str, Any], signer: Pair, policy: Policy, now: datetime) -> datetime:
    root = fingerprint(signer.certificate)
    said, _space, when = ((secret.get("metadata") or {}).get("annotations") or {}).get(policy.since, "").partition(" ")
    try:
        noted = datetime.fromisoformat(when) if said == root else None
    except ValueError:
        noted = None
    if noted is not None and noted.tzinfo is not None:
        return noted
    # Without a note it has been there for long, or it comes now.
    there = {fingerprint(each) for each in valid_certificates(value_of(secret, "ca.crt"), now)}
    return born(signer.certificate) if root in there else now


def _replacing(pairs: Any, authority: Pair, known: Sequence[bytes]) -> bool:
    """A request is not a second one while the first is being carried out."""
    return any(fingerprint(each) != fingerprint(authority.certificate) for each in known) or any(
        pair and not signed_by(pair.certificate, authority.certificate) for pair in pairs
    )


def _of_no_use(pair: Pair | None, now: datetime) -> bool:
    """Nobody can work with it: to wait for the right moment helps nobody."""
    return pair is None or bool(unusable(pair)) or expires(pair.certificate) <= now


def _of_another(pair: Pair | None, signer: Pair, roots: Sequence[bytes], now: datetime) -> bool:
    """Works, by another authority that is still trusted: it stays until the members are ready."""
    if pair is None or _of_no_use(pair, now) or signed_by(pair.certificate, signer.certificate):
        return False
    return any(signed_by(pair.certificate, root) for root in roots[1:])


def _all_trust(members: Sequence[Member], root: str, leaves: Sequence[Mapping[str, Any]]) -> bool:
    uses = {(each["kind"], each["member"]) for each in leaves}
    return all(
        root in (member.said.get(kind) or {}).get("trusts", ())
        for member in members
        for kind, only in uses
        if only in ("", member.name) and not member.silent
    )


class Made(NamedTuple):
    """A leaf as it should be (None: it would be made), and why it is another than before."""

    pair: Pair | None
    reason: str


def _leaf(
    options: Mapping[str, Any], pair: Pair | None, signer: Pair, ready: bool, policy: Policy, now: datetime,
    generate: bool,
) -> Made:  # fmt: skip
    leaf: Leaf = leaf_of(options)
    reason = leaf_problem(pair, signer, leaf, now) or (ASKED if options["kind"] in policy.renew else "")
    if not reason or (not ready and not _of_no_use(pair, now)):
        return Made(pair, "")
    return Made(new_leaf(signer, leaf, now, policy.leaf_life) if generate else None, reason)


def _all_use(
    made: Mapping[str, Made], leaves: Sequence[Mapping[str, Any]], members: Sequence[Member], signer: Pair
) -> bool:
    """Every leaf is the signer's, and in use by everybody who should: nothing needs an older authority any more."""
    for pair, _reason in made.values():
        if pair is None or not signed_by(pair.certificate, signer.certificate):
            return False
    expected = [
        Expected(each["kind"], each["member"], fingerprint(pair.certificate), frozenset())
        for each in leaves
        if (pair := made[each["secret"]][0])
    ]
    return not list(unconfirmed(expected, members, everybody=True))


def _poolers_due(
    made: Mapping[str, Made], leaves: Sequence[Mapping[str, Any]], members: Sequence[Member], now: datetime
) -> datetime | None:
    """When poolers use their certificate for sure; None when they do by now, and when there are none.

    One that still presents an older authority's certificate would be refused by every server."""
    if not any(each.silent for each in members):
        return None
    due = [born(pair.certificate) + POOLERS_TIME for each in leaves
           if each["kind"] == POOLER and (pair := made[each["secret"]].pair)]  # fmt: skip
    return max((each for each in due if now < each), default=None)


def unconfirmed(expected: Sequence[Expected], members: Sequence[Member], everybody: bool) -> Iterator[str]:
    """A sentence for each certificate that is not in use as it should be.

    Without `everybody` only members that are ready and say something count: who starts later reads what is mounted.
    """
    for member in members:
        if member.silent or (not everybody and (not member.said or not member.ready)):
            continue
        for each in expected:
            if each.member in ("", member.name) and (text := _difference(each, member)):
                yield text


def _difference(expected: Expected, member: Member) -> str:
    said = member.said.get(expected.kind)
    if not said:
        return f"{member.name} does not say which {expected.kind} certificate it uses"
    refused = f" ({said['refused']})" if said.get("refused") else ""
    if said.get("serves") != expected.serves:
        return f"{member.name} does not use its new {expected.kind} certificate yet{refused}"
    trusts = frozenset(said.get("trusts") or ())
    if expected.trusts - trusts:
        return f"{member.name} does not trust the new authority of its {expected.kind} certificate yet{refused}"
    if expected.trusts and trusts - expected.trusts:
        return f"{member.name} trusts the old authority of its {expected.kind} certificate still{refused}"
    return ""


def _authority(
    authority: Authority, signer: Pair, roots: Sequence[bytes], problem: str | None, metadata: Mapping[str, Any],
    live: Mapping[str, Mapping[str, Any]],
) -> Issued:  # fmt: skip
    until = expires(signer.certificate).isoformat()
    if authority.brought:
        return Issued(authority.secret, AUTHORITY, None, "", until)
    definition = _secret(authority.secret, signer, roots, metadata, live)
    return Issued(authority.secret, AUTHORITY, definition, problem or "", until)


def _issued(
    options: Mapping[str, Any], pair: Pair | None, reason: str, roots: Sequence[bytes], metadata: Mapping[str, Any],
    live: Mapping[str, Mapping[str, Any]],
) -> Issued:  # fmt: skip
    name, kind = options["secret"], options["kind"]
    definition = _secret(name, pair, roots, _labelled(metadata, options), live)
    if pair is None:
        return Issued(name, kind, definition, reason, LATER)
    trusts = frozenset(fingerprint(root) for root in roots)
    expected = Expected(kind, options["member"], fingerprint(pair.certificate), trusts)
    return Issued(name, kind, definition, reason, expires(pair.certificate).isoformat(), expected)


def _labelled(metadata: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    return {**metadata, "labels": {**(metadata.get("labels") or {}), **(options.get("labels") or {})}}


def _unknown(
    authority: Authority, leaves: Sequence[Mapping[str, Any]], live: Mapping[str, Mapping[str, Any]],
    metadata: Mapping[str, Any], problem: str,
) -> Iterator[Issued]:  # fmt: skip
    """In check mode nobody makes the authority that all depends on."""
    yield Issued(authority.secret, AUTHORITY, _secret(authority.secret, None, (), metadata, live), problem, LATER)
    for each in leaves:
        definition = _secret(each["secret"], None, (), _labelled(metadata, each), live)
        yield Issued(each["secret"], each["kind"], definition, "its authority is new", LATER)


def _secret(
    name: str, pair: Pair | None, roots: Sequence[bytes], metadata: Mapping[str, Any],
    live: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    values = {
        "ca.crt": b"".join(roots) or None,
        "tls.crt": pair.certificate if pair else None,
        "tls.key": pair.key if pair else None,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, **metadata},
        # The type of a Secret never changes; one that was brought along may be kubernetes.io/tls.
        "type": (live.get(name) or {}).get("type") or "Opaque",
        "data": {key: LATER if value is None else base64.b64encode(value).decode() for key, value in values.items()},
    }


def pair_of(secret: Mapping[str, Any] | None, certificate: str = "tls.crt", key: str = "tls.key") -> Pair | None:
    found = value_of(secret, certificate), value_of(secret, key)
    return Pair(*found) if all(found) else None


def value_of(secret: Mapping[str, Any] | None, key: str) -> bytes:
    text = ((secret or {}).get("data") or {}).get(key) or ""
    try:
        return base64.b64decode(text)
    except ValueError:
        return b""
