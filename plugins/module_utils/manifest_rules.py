# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PGO's own schema refuses beyond types: limits, and values that would break what it promises.

The same values are refused here, under the manifest's paths, so that a manifest means one thing to both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .checks import Problems
from .manifest_fields import API_VERSIONS
from .names import PGO_PREFIX

Found = Iterator[tuple[str, Any, str]]

_FIXED = frozenset(
    {
        "config_file", "data_directory", "external_pid_file", "hba_file", "ident_file", "listen_addresses", "port",
        "ssl", "wal_log_hints", "archive_mode", "archive_command", "restore_command", "recovery_target", "hot_standby",
        "synchronous_standby_names", "primary_conninfo", "primary_slot_name", "recovery_min_apply_delay",
        "cluster_name", "logging_collector", "log_file_mode",
    }
)  # fmt: skip
_FIXED_PREFIXES = ("ssl_", "unix_socket_", "recovery_target_")
_FREE = ("ssl_groups", "ssl_ecdh_curve")
_WORD = re.compile(r"[-a-z0-9]{1,20}")
_LDAP_SIMPLE = ("ldapprefix", "ldapsuffix")
_LDAP_SEARCH = ("ldapbasedn", "ldapbinddn", "ldapbindpasswd", "ldapsearchattribute", "ldapsearchfilter")
_LOG_PLACES = re.compile(r"log|/(pgdata|pgwal|pgtmp)/logs/postgres(/.*)?|/volumes/.+")
MOST: Mapping[str, int] = {
    "spec.users": 64,
    "spec.config.parameters": 50,
    "spec.proxy.pgBouncer.config.global": 50,
    "spec.authentication.rules": 10,
}


def check(manifest: Mapping[str, Any], problems: Problems) -> None:
    """Adds what PGO's schema would say about values that pgherd itself would take, or say less about."""
    version_1 = manifest.get("apiVersion") == API_VERSIONS[1]
    for finder in (_limits, _instances, _parameters, _rules, _users, _annotations, _timing):
        for path, value, allowed in finder(manifest):
            problems.add(path, value, allowed)
    if version_1:
        for path, value, allowed in _version_1(manifest):
            problems.add(path, value, allowed)


def at(value: Any, path: str) -> Any:
    """What is at a path of names; None where nothing is."""
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _entries(value: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    found = at(value, path)
    for index, each in enumerate(found if isinstance(found, list) else ()):
        if isinstance(each, Mapping):
            yield f"{path}[{index}]", each


def _size(value: Any) -> int:
    return len(value) if isinstance(value, (list, Mapping)) else 0


def _limits(manifest: Mapping[str, Any]) -> Found:
    for path, most in MOST.items():
        if _size(at(manifest, path)) > most:
            yield path, _size(at(manifest, path)), f"may have {most} entries"


def _instances(manifest: Mapping[str, Any]) -> Found:
    for name in ("apiVersion", "kind"):
        if manifest.get(name) is None:
            yield name, None, "is required"
    if not _size(at(manifest, "spec.instances")):
        yield "spec.instances", at(manifest, "spec.instances"), "must have at least one entry"
    if at(manifest, "spec.postgresVersion") is None:
        yield "spec.postgresVersion", None, "is required"
    for path, entry in _entries(manifest, "spec.instances"):
        yield from _claim(entry, path, "dataVolumeClaimSpec", True)
        yield from _claim(entry, path, "walVolumeClaimSpec", False)
        yield from _claim(at(entry, "volumes") or {}, f"{path}.volumes", "temp", False)
        for place, each in _entries(entry, "tablespaceVolumes"):
            yield from _claim(each, f"{path}.{place}", "dataVolumeClaimSpec", True)
        for place, each in _entries(entry, "volumes.additional"):
            if ("claimName" in each) == ("image" in each):
                yield f"{path}.{place}", dict(each), "must have one of claimName and image"


def _claim(entry: Mapping[str, Any], path: str, name: str, required: bool) -> Found:
    spec = entry.get(name)
    if spec is None and not required:
        return
    for field in ("accessModes", "resources.requests.storage"):
        if not at(spec, field):
            yield f"{path}.{name}.{field}", at(spec, field), "is required"


def _parameters(manifest: Mapping[str, Any]) -> Found:
    path, version = "spec.config.parameters", at(manifest, "spec.postgresVersion")
    found = at(manifest, path)
    for name, value in found.items() if isinstance(found, Mapping) else ():
        if name in _FIXED or (name.startswith(_FIXED_PREFIXES) and name not in _FREE):
            yield f"{path}.{name}", value, "cannot be set: high availability and TLS rest on it"
        elif name == "ssl_groups" and isinstance(version, int) and version < 18:
            yield f"{path}.{name}", value, "needs PostgreSQL 18 or newer"
        elif name == "wal_level" and value != "logical":
            yield f"{path}.{name}", value, "must be logical"
        elif isinstance(value, (bool, float)) or not isinstance(value, (int, str)):
            yield f"{path}.{name}", value, "must be a text or a whole number; quote true, false and fractions"


def _rules(manifest: Mapping[str, Any]) -> Found:
    for path, rule in _entries(manifest, "spec.authentication.rules"):
        others = [name for name in ("connection", "databases", "method", "options", "users") if name in rule]
        for name in rule:
            if name not in ("hba", "connection", "databases", "method", "options", "users"):
                yield (
                    f"{path}.{name}",
                    rule[name],
                    "no such field; known are hba, connection, databases, method, options, users",
                )
        if "hba" in rule:
            yield from _line(path, rule["hba"])
            if others:
                yield path, dict(rule), f"hba cannot be combined with {', '.join(others)}"
        else:
            yield from _structured(path, rule)


def _line(path: str, line: Any) -> Found:
    if not isinstance(line, str) or not 0 < len(line) <= 100 or not line.isprintable():
        yield f"{path}.hba", line, "must be one line of 1 to 100 printable characters"
    elif line.strip().startswith("include"):
        yield f"{path}.hba", line, "cannot include other files"


def _structured(path: str, rule: Mapping[str, Any]) -> Found:
    for name in ("connection", "method"):
        if not isinstance(rule.get(name), str) or not _WORD.fullmatch(rule[name]):
            yield f"{path}.{name}", rule.get(name), "is required: up to 20 of a-z, 0-9 and -"
    for name in ("databases", "options", "users"):
        if _size(rule.get(name)) > 20:
            yield f"{path}.{name}", _size(rule[name]), "may have 20 entries"
    for name in ("databases", "users"):
        for each in rule.get(name) or ():
            if not isinstance(each, str) or not 0 < len(each) <= 63:
                yield f"{path}.{name}", each, "must be names of 1 to 63 characters"
    method, options = rule.get("method"), rule.get("options") or {}
    if method == "trust":
        yield f"{path}.method", method, "is unsafe: it lets everybody in"
    if method == "ldap":
        if not any(name in options for name in ("ldapbasedn", *_LDAP_SIMPLE)):
            yield f"{path}.options", options, "ldap needs ldapbasedn, ldapprefix or ldapsuffix"
        if any(name in options for name in _LDAP_SIMPLE) and any(name in options for name in _LDAP_SEARCH):
            yield f"{path}.options", options, f"{' and '.join(_LDAP_SIMPLE)} go with none of {', '.join(_LDAP_SEARCH)}"
    if method == "radius" and not {"radiusservers", "radiussecrets"} <= set(options):
        yield f"{path}.options", options, "radius needs radiusservers and radiussecrets"


def _users(manifest: Mapping[str, Any]) -> Found:
    for path, user in _entries(manifest, "spec.users"):
        options = str(user.get("options") or "")
        if len(options) > 200 or re.search(r";|password|--|/\*|\*/", options, re.IGNORECASE):
            yield f"{path}.options", options, "must be up to 200 characters without PASSWORD, comments and ;"


def _annotations(manifest: Mapping[str, Any]) -> Found:
    """Requests to the operator, which nobody would answer here."""
    found = at(manifest, "metadata.annotations")
    for name, value in found.items() if isinstance(found, Mapping) else ():
        if str(name).startswith(PGO_PREFIX):
            yield f"metadata.annotations.{name}", value, "is a request to PGO; ask the play or the agents instead"


def _timing(manifest: Mapping[str, Any]) -> Found:
    for name, least in (("leaderLeaseDurationSeconds", 3), ("syncPeriodSeconds", 1)):
        value = at(manifest, f"spec.patroni.{name}")
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            yield f"spec.patroni.{name}", value, f"must be a whole number of at least {least}"


def _version_1(manifest: Mapping[str, Any]) -> Found:
    """What only v1 of the schema refuses."""
    count = _size(at(manifest, "spec.instances"))
    if count > 16:
        yield "spec.instances", count, "may have 16 entries"
    path = "spec.config.parameters"
    directory = (at(manifest, path) or {}).get("log_directory")
    if directory is not None and not _LOG_PLACES.fullmatch(str(directory)):
        places = "log, or below /pgdata/logs/postgres, /pgwal/logs/postgres, /pgtmp/logs/postgres or /volumes"
        yield f"{path}.log_directory", directory, f"must be {places}"
