# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables about certificates: how long they live, what is made anew, and what somebody brings along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .certificates import REPLICATION_USER, wanted
from .checks import Problems
from .client_services import certificate_names
from .names import DNS_NAME, DNS_RULE

DEFAULTS: Mapping[str, Any] = {
    "postgres_authority_days": 3650,
    "postgres_authority_overlap_days": 1,
    "postgres_authority_secret": "",
    "postgres_certificate_days": 365,
    "postgres_certificate_names": [],
    "postgres_custom_replication_tls_secret": {},
    "postgres_custom_tls_secret": {},
    "postgres_renew_certificates": [],
}
AUTHORITY, ALL = "authority", "all"
FILES = ("tls.crt", "tls.key", "ca.crt")
LONGEST = 36500
_CUSTOM = {"server": "postgres_custom_tls_secret", "replication": "postgres_custom_replication_tls_secret"}


def certificates(values: Mapping[str, Any], cluster: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """`certificates` and `custom_certificates` as the module `pki` takes them, its other options as `pki`,
    `certificate_volumes` by member's pod, and `certificate_secrets`: never pruned, as pods that were not replaced yet
    may mount them."""
    days = _days(values, cluster, problems)
    names = certificate_names(values["postgres_certificate_names"], problems)
    authority = values["postgres_authority_secret"]
    if authority:
        problems.pattern("postgres_authority_secret", authority, DNS_NAME, DNS_RULE)
    custom = {kind: found for kind in _CUSTOM if (found := _custom(kind, values, problems))}
    if set(custom) == {"server"} or set(custom) == {"replication"}:
        has, lacks = (_CUSTOM[kind] for kind in sorted(_CUSTOM, key=lambda kind: kind not in custom))
        problems.texts.append(f"{has} needs {lacks} too: servers and replication clients trust one authority")
    issued = [] if problems.texts else wanted(cluster, names)
    kinds = list(dict.fromkeys(each["kind"] for each in issued)) or ["server", "replication", "rest"]
    renew = _renew(values["postgres_renew_certificates"], kinds, custom, authority, problems)
    return {
        "certificates": [each for each in issued if each["kind"] not in custom],
        "custom_certificates": [_checked(kind, each, cluster) for kind, each in custom.items()],
        "certificate_secrets": [f"{cluster['name']}-ca", *(each["secret"] for each in issued)],
        "certificate_volumes": _volumes(issued, custom, cluster),
        "pki": {"authority_secret": authority or "", "renew": renew, **days},
    }


def _days(values: Mapping[str, Any], cluster: Mapping[str, Any], problems: Problems) -> dict[str, int]:
    days = {
        name: problems.integer(f"postgres_{name}", values[f"postgres_{name}"], least, LONGEST)
        for name, least in (("certificate_days", 3), ("authority_days", 9), ("authority_overlap_days", 0))
    }
    if cluster["pooler"] and not days["authority_overlap_days"]:
        allowed = "must be at least 1 with postgres_pooler: poolers do not say which authority they trust already"
        problems.add("postgres_authority_overlap_days", days["authority_overlap_days"], allowed)
    least = 3 * days["certificate_days"]
    if days["authority_days"] < least:
        allowed = (
            f"must be at least {least}, three times postgres_certificate_days: it signs until a third of it is left"
        )
        problems.add("postgres_authority_days", days["authority_days"], allowed)
    most = days["certificate_days"] // 3
    if days["authority_overlap_days"] > most:
        allowed = f"must be at most {most}, a third of postgres_certificate_days: certificates wait that long"
        problems.add("postgres_authority_overlap_days", days["authority_overlap_days"], allowed)
    return days


def _custom(kind: str, values: Mapping[str, Any], problems: Problems) -> dict[str, Any] | None:
    """A projection as PGO's customTLSSecret: `name`, and `items` that say which key is which file."""
    variable = _CUSTOM[kind]
    if values[variable] in ({}, None, ""):
        return None
    fields = problems.fields(variable, values[variable], ("name", "items", "optional"))
    if fields.get("optional"):
        problems.add(f"{variable}.optional", fields["optional"], "must be false: nothing can be served without it")
    name = problems.pattern(f"{variable}.name", fields.get("name"), DNS_NAME, DNS_RULE)
    keys = {file: file for file in FILES}
    for index, entry in enumerate(problems.sequence(f"{variable}.items", fields.get("items") or [])):
        where = f"{variable}.items[{index}]"
        item = {"key": None, "path": None, **problems.fields(where, entry, ("key", "path"))}
        problems.choice(f"{where}.path", item["path"], FILES)
        if not isinstance(item["key"], str) or not item["key"]:
            problems.add(f"{where}.key", item["key"], "must be a key of the Secret")
        keys[str(item["path"])] = str(item["key"])
    return {"secret": name, "items": keys}


def _renew(
    given: Any, kinds: Sequence[str], custom: Mapping[str, Any], authority: Any, problems: Problems
) -> list[str]:  # fmt: skip
    variable = "postgres_renew_certificates"
    # A survey's answer is one text.
    asked = given.replace(",", " ").split() if isinstance(given, str) else problems.sequence(variable, given or [])
    for each in asked:
        problems.choice(variable, each, (*kinds, AUTHORITY, ALL))
        if each in custom:
            problems.add(variable, each, f"is brought along by {_CUSTOM[each]}; replace what is in that Secret")
        if each == AUTHORITY and authority:
            problems.add(
                variable, each, "is brought along by postgres_authority_secret; replace what is in that Secret"
            )
    if ALL in asked:
        asked = [*(kind for kind in kinds if kind not in custom), *(each for each in asked if each == AUTHORITY)]
    return list(dict.fromkeys(map(str, asked)))


def _checked(kind: str, custom: Mapping[str, Any], cluster: Mapping[str, Any]) -> dict[str, Any]:
    """With the names that members and clients dial: a server's must bear them, a client's common name is its user."""
    name = cluster["name"]
    hosts = [f"{name}-primary.{cluster['namespace']}.svc", *(f"{m['pod']}.{name}-pods" for m in cluster["members"])]
    return {
        "kind": kind,
        "variable": _CUSTOM[kind],
        **custom,
        "hosts": hosts if kind == "server" else [],
        "common_name": REPLICATION_USER if kind == "replication" else "",
    }


def _volumes(
    issued: Sequence[Mapping[str, Any]], custom: Mapping[str, Mapping[str, Any]], cluster: Mapping[str, Any]
) -> dict[str, list[dict[str, Any]]]:  # fmt: skip
    """What each pod mounts, and in which folder: the server's are on top."""
    volumes: dict[str, list[dict[str, Any]]] = {member["pod"]: [] for member in cluster["members"]}
    for each in issued:
        kind, plain = each["kind"], {"secret": each["secret"], "items": {file: file for file in FILES}}
        volume = {"folder": "" if kind == "server" else f"{kind}/", **plain, **custom.get(kind, {})}
        for pod in [each["member"]] if each["member"] else volumes:
            if pod in volumes:  # a pooler's are in no member's pod
                volumes[pod].append(volume)
    return volumes
