# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificates a cluster needs, and the Secrets that hold them. Decides; makes keys only when it may."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .difference import LATER
from .names import host_names

if TYPE_CHECKING:
    from .x509 import Pair

REPLICATION_USER = "pgherd_replication"


def wanted(cluster: Mapping[str, Any], extra: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Leaf certificates of a cluster as the `pki` module takes them."""
    name, namespace, domain = cluster["name"], cluster["namespace"], cluster["domain"]
    services = [
        form for service in ("primary", "replicas", "ha") for form in host_names(f"{name}-{service}", namespace, domain)
    ]
    pods = [form for member in cluster["members"] for form in _pod_names(cluster, member["pod"])]
    wild = [f"*.{name}-pods.{namespace}.svc.{domain}", f"*.{name}-pods.{namespace}.svc"]
    prefix = cluster["prefix"]
    server = {
        "secret": f"{name}-cluster-cert",
        "labels": {f"{prefix}cluster-certificate": "postgres-tls"},
        "common_name": f"{name}-primary"[:64],
        "dns": [*services, *wild, *pods, "localhost", *(each for each in extra if not is_address(each))],
        "addresses": [each for each in extra if is_address(each)],
        "server": True,
        "client": False,
    }
    replication = {
        "secret": f"{name}-replication-cert",
        "labels": {f"{prefix}cluster-certificate": "replication-client-tls"},
        "common_name": REPLICATION_USER,
        "dns": [REPLICATION_USER],
        "addresses": [],
        "server": False,
        "client": True,
    }
    return [server, replication, *(_member(cluster, each) for each in cluster["members"])]


def _member(cluster: Mapping[str, Any], member: Mapping[str, Any]) -> dict[str, Any]:
    pod = member["pod"]
    return {
        "secret": f"{member['name']}-certs",
        "labels": {
            **member["labels"],
            f"{cluster['prefix']}instance-set": member["set"],
            f"{cluster['prefix']}instance": member["name"],
        },
        "common_name": pod,
        "dns": [*_pod_names(cluster, pod), pod, "localhost"],
        "addresses": ["127.0.0.1"],
        "server": True,
        "client": True,
    }


def is_address(name: Any) -> bool:
    """Whether a certificate must bear this as an IP address: clients look for those in a place of their own."""
    try:
        ipaddress.ip_address(name if isinstance(name, str) else "")
    except ValueError:
        return False
    return True


def _pod_names(cluster: Mapping[str, Any], pod: str) -> list[str]:
    return host_names(f"{pod}.{cluster['name']}-pods", cluster["namespace"], cluster["domain"])


@dataclass(frozen=True)
class Issued:
    """One Secret with what happened to its certificate."""

    definition: dict[str, Any]
    reason: str
    """Why it was made anew; empty when it was kept."""
    expires: str


def issue(
    authority_name: str,
    common_name: str,
    leaves: Sequence[Mapping[str, Any]],
    live: Mapping[str, Mapping[str, Any]],
    metadata: Mapping[str, Any],
    now: datetime,
    generate: bool,
) -> list[Issued]:
    """The authority's Secret and one for each leaf. `live` has the Secrets that are there, by name.

    Without `generate` nothing is made: new values are `(known after apply)`. A replaced authority stays in
    `ca.crt` beside the new one until it has expired, so that clients which trust it are not cut off.
    """
    from .x509 import Leaf, authority_problem, leaf_of, leaf_problem, new_authority, new_leaf

    found = _pair(live.get(authority_name))
    problem = authority_problem(found, now)
    authority: Pair | None = found
    if problem:
        authority = new_authority(common_name, now) if generate else None
    roots = _roots(authority, live.get(authority_name), now)
    result = [_issued(authority_name, authority, roots, problem, metadata, live)]
    for options in leaves:
        leaf: Leaf = leaf_of(options)
        pair = _pair(live.get(options["secret"]))
        reason = "its authority is new" if authority is None else leaf_problem(pair, authority, leaf, now)
        if reason:
            pair = new_leaf(authority, leaf, now) if generate and authority else None
        labels = {**(metadata.get("labels") or {}), **(options.get("labels") or {})}
        result.append(_issued(options["secret"], pair, roots, reason, {**metadata, "labels": labels}, live))
    return result


def _issued(
    name: str,
    pair: Pair | None,
    roots: bytes | None,
    reason: str | None,
    metadata: Mapping[str, Any],
    live: Mapping[str, Mapping[str, Any]],
) -> Issued:
    from .x509 import expires

    values: dict[str, bytes | None] = {
        "ca.crt": roots,
        "tls.crt": pair.certificate if pair else None,
        "tls.key": pair.key if pair else None,
    }
    definition = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, **metadata},
        # The type of a Secret never changes; one that was brought along may be kubernetes.io/tls.
        "type": (live.get(name) or {}).get("type") or "Opaque",
        "data": {key: LATER if value is None else base64.b64encode(value).decode() for key, value in values.items()},
    }
    until = expires(pair.certificate).isoformat() if pair else LATER
    return Issued(definition, reason or "", until)


def _pair(secret: Mapping[str, Any] | None) -> Pair | None:
    from .x509 import Pair

    certificate, key = _value(secret, "tls.crt"), _value(secret, "tls.key")
    return Pair(certificate, key) if certificate and key else None


def _roots(authority: Pair | None, secret: Mapping[str, Any] | None, now: datetime) -> bytes | None:
    """The authority's own certificate first, then older ones that have not expired."""
    from .x509 import valid_certificates

    if authority is None:
        return None
    own = authority.certificate
    known = valid_certificates(own, now)
    older = [_value(secret, "tls.crt"), _value(secret, "ca.crt")]
    for each in (certificate for data in older if data for certificate in valid_certificates(data, now)):
        if each not in known:
            known.append(each)
    return b"".join(known)


def _value(secret: Mapping[str, Any] | None, key: str) -> bytes:
    text = ((secret or {}).get("data") or {}).get(key) or ""
    try:
        return base64.b64decode(text)
    except ValueError:
        return b""
