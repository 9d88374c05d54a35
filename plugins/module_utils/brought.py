# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates that somebody brought along: what they must be for the cluster to work with them. Never written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from .x509 import Pair, covers, expires, names_of, signed_by, subject_of, unusable, valid_certificates

FILES = ("tls.crt", "tls.key", "ca.crt")


def problems(wanted: Mapping[str, Any], data: Mapping[str, bytes] | None, now: datetime) -> list[str]:
    """What is wrong with one of them, a sentence each. `data` is the Secret's, None when there is none.

    `wanted` has `variable`, `secret`, `items` (key by file), `hosts` (names that it is dialled by), `common_name` (that
    a client must bear, else empty).
    """
    where = f"{wanted['variable']}: Secret {wanted['secret']}"
    if data is None:
        return [f"{where} does not exist"]
    keys = {file: wanted["items"][file] for file in FILES}
    missing = [key for key in keys.values() if not data.get(key)]
    if missing:
        there = ", ".join(sorted(data)) or "nothing"
        return [f"{where} has no {' and no '.join(missing)}; it has {there} (items name other keys)"]
    pair = Pair(data[keys["tls.crt"]], data[keys["tls.key"]])
    found = unusable(pair)
    if found:
        return [f"{where}, {keys['tls.crt']} and {keys['tls.key']}: {found}"]
    return [f"{where}, {text}" for text in _said(wanted, keys, pair, data[keys["ca.crt"]], now)]


def _said(wanted: Mapping[str, Any], keys: Mapping[str, str], pair: Pair, roots: bytes, now: datetime) -> Iterator[str]:
    until = expires(pair.certificate)
    if until <= now:
        yield f"{keys['tls.crt']}: it expired on {until:%Y-%m-%d}"
    trusted = valid_certificates(roots, now)
    if not trusted:
        yield f"{keys['ca.crt']}: it has no certificate that is valid today"
    elif not _leads_to(valid_certificates(pair.certificate, now), trusted):
        yield f"{keys['tls.crt']}: its chain does not end at a certificate of {keys['ca.crt']}"
    if wanted["common_name"] and subject_of(pair.certificate) != wanted["common_name"]:
        given = subject_of(pair.certificate) or "none"
        yield f"{keys['tls.crt']}: its common name is {given}; it must be {wanted['common_name']}"
    names = names_of(pair.certificate)
    lacking = [host for host in wanted["hosts"] if not covers(names, host)]
    if lacking:
        yield f"{keys['tls.crt']}: it must be valid for {', '.join(lacking)}; it is for {', '.join(names) or 'no name'}"


def strangers(given: Sequence[tuple[Mapping[str, Any], Mapping[str, bytes]]], now: datetime) -> list[str]:
    """Who would not accept whom: a standby verifies the server's chain, and the server the standby's, each by its own
    `ca.crt`. `given` has each one's `wanted` and the Secret's data, both without problems."""
    texts = list[str]()
    for wanted, data in given:
        chain = valid_certificates(data[wanted["items"]["tls.crt"]], now)
        for other, others in given:
            key = other["items"]["ca.crt"]
            if other is not wanted and not _leads_to(chain, valid_certificates(others[key], now)):
                texts.append(
                    f"{other['variable']}: Secret {other['secret']}, {key}: it lacks the authority of Secret "
                    f"{wanted['secret']}, whose certificate is presented there"
                )
    return texts


def _leads_to(chain: Sequence[bytes], roots: Sequence[bytes]) -> bool:
    """Whether the first certificate is signed, perhaps through others of the chain, by one of the roots."""
    if not chain:
        return False
    at, rest = chain[0], list(chain[1:])
    while not any(signed_by(at, root) for root in roots):
        above = next((each for each in rest if signed_by(at, each)), None)
        if above is None:
            return False
        rest.remove(above)
        at = above
    return True
