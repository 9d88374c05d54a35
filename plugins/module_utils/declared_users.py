# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`postgres_users` and `postgres_databases`: what the play makes Secrets of, and what it tells the agents.

Whatever the agents would refuse is refused here, before anything is changed. What only PostgreSQL knows (whether a role
is there, an extension installed, a time a time) the agent of the primary says, and the play fails with its words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .checks import Problems
from .names import DNS_LABEL, NAME_RULE
from .pooler import way_in
from .role_options import options_problem
from .scram import PASSWORD_TYPES

ADMIN = "postgres"
MOST_USERS = 64
STATES = ("present", "absent")
_USER = ("name", "databases", "options", "password", "roles", "schema", "state", "reassign_to")
_DATABASE = ("name", "owner", "encoding", "locale", "connection_limit", "extensions", "state", "purge")
_RESERVED_BEGINNINGS = ("pg_", "pgherd_")
_RESERVED = ("none", "public")
_OWN_DATABASES = (ADMIN, "template0", "template1")
_ENCODING = re.compile(r"[A-Za-z0-9_-]{1,32}")
_LOCALE = re.compile(r"[A-Za-z0-9_.@-]{1,64}")


def access(values: Mapping[str, Any], cluster: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """`users`: those that get a Secret, with all that it is made of. `declared`: what the agents are told."""
    entries = _users(values, cluster["name"], problems)
    present = [each for each in entries if each["state"] == "present"]
    names = [each["name"] for each in present]
    databases = _databases(values, [*names, ADMIN], problems)
    going = {each["name"] for each in databases if each["state"] == "absent"}
    for user in present:
        for name in going.intersection(user["databases"]):
            problems.add(
                "postgres_databases", name, f"is to be absent, and user {user['name']} has it; take it away there"
            )
    for user in entries:
        heir = user["reassign_to"]
        if heir and heir not in (*names, ADMIN):
            where = f"postgres_users[{user['name']}].reassign_to"
            problems.add(where, heir, f"must be a declared user that stays, or {ADMIN}")
    return {
        "users": [_with_secret(each, cluster) for each in present],
        "access": {
            "users": [_told(each, f"{cluster['name']}-pguser-{each['name']}") for each in entries],
            "databases": databases,
        },
    }


def _users(values: Mapping[str, Any], cluster: str, problems: Problems) -> list[dict[str, Any]]:
    given = values.get("postgres_users")
    if given is None and not DNS_LABEL.fullmatch(cluster):
        return []
    given = [{"name": cluster, "databases": [cluster]}] if given is None else problems.sequence("postgres_users", given)
    if len(given) > MOST_USERS:
        problems.texts.append(f"postgres_users: has {len(given)} entries; {MOST_USERS} are allowed")
    schema = problems.boolean("postgres_create_user_schema", values["postgres_create_user_schema"])
    users, seen = list[dict[str, Any]](), set[str]()
    for index, entry in enumerate(given):
        where = f"postgres_users[{index}]"
        user = _user(where, problems.fields(where, entry, _USER), schema, problems)
        if user["name"] in seen:
            problems.add(f"{where}.name", user["name"], "is there twice")
        seen.add(user["name"])
        users.append(user)
    return users


def _user(where: str, fields: Mapping[str, Any], schema: bool, problems: Problems) -> dict[str, Any]:
    name = problems.pattern(f"{where}.name", fields.get("name"), DNS_LABEL, NAME_RULE)
    if name.startswith(_RESERVED_BEGINNINGS) or name in _RESERVED:
        reserved = f"{', '.join(_RESERVED)} and names that begin with {' or '.join(_RESERVED_BEGINNINGS)} are reserved"
        problems.add(f"{where}.name", name, reserved)
    state = problems.choice(f"{where}.state", fields.get("state", "present"), STATES)
    options = fields.get("options", "")
    if problem := options_problem(options):
        problems.add(f"{where}.options", options, problem)
    if name == ADMIN and (options or state == "absent" or fields.get("roles")):
        problems.add(
            f"{where}.name", name, "is PostgreSQL's superuser: it can have a password and databases, nothing else"
        )
    if fields.get("reassign_to") and state != "absent":
        problems.add(f"{where}.reassign_to", fields["reassign_to"], "needs state absent")
    password = problems.fields(f"{where}.password", fields.get("password", {}), ("type",))
    return {
        "name": name,
        "databases": _names(f"{where}.databases", fields.get("databases", []), problems),
        "options": str(options),
        "roles": _names(f"{where}.roles", fields.get("roles", []), problems),
        "schema": problems.boolean(f"{where}.schema", fields.get("schema", schema)),
        "state": state,
        "reassign_to": str(fields.get("reassign_to") or ""),
        "password_type": problems.choice(f"{where}.password.type", password.get("type", "ASCII"), PASSWORD_TYPES),
    }


def _names(where: str, given: Any, problems: Problems) -> list[str]:
    """Names of databases or roles."""
    names = problems.sequence(where, given)
    for each in names:
        if not isinstance(each, str) or not 0 < len(each.encode()) <= 63 or "\0" in each:
            problems.add(where, each, "must be names of 1 to 63 bytes")
        elif each in ("template0", "template1"):
            problems.add(where, each, "is a template of PostgreSQL's own")
    return [str(each) for each in names]


def _databases(values: Mapping[str, Any], owners: Sequence[str], problems: Problems) -> list[dict[str, Any]]:
    found = list[dict[str, Any]]()
    for index, entry in enumerate(problems.sequence("postgres_databases", values["postgres_databases"])):
        where = f"postgres_databases[{index}]"
        fields = {"name": None, **problems.fields(where, entry, _DATABASE)}
        (name,) = _names(f"{where}.name", [fields["name"]], problems)
        if name in _OWN_DATABASES:
            problems.add(f"{where}.name", name, "belongs to PostgreSQL, and is neither changed nor dropped")
        if name in [each["name"] for each in found]:
            problems.add(f"{where}.name", name, "is there twice")
        found.append({"name": name, **_database(where, fields, owners, problems)})
    return found


def _database(where: str, fields: Mapping[str, Any], owners: Sequence[str], problems: Problems) -> dict[str, Any]:
    state = problems.choice(f"{where}.state", fields.get("state", "present"), STATES)
    purge = problems.boolean(f"{where}.purge", fields.get("purge", False))
    if state == "absent":
        if not purge:
            problems.add(f"{where}.state", state, "needs purge: true beside it, and then deletes all its data")
        return {"state": state, "purge": purge}
    owner, limit = fields.get("owner", ""), fields.get("connection_limit")
    if owner and owner not in owners:
        problems.add(f"{where}.owner", owner, f"must be a declared user that stays, or {ADMIN}")
    for name, pattern in (("encoding", _ENCODING), ("locale", _LOCALE)):
        if fields.get(name):
            problems.pattern(
                f"{where}.{name}", fields[name], pattern, f"must be the name of a{'n' * (name[0] == 'e')} {name}"
            )
    if limit is not None:
        limit = problems.integer(f"{where}.connection_limit", limit, -1, 262143)
    return {
        **{name: str(fields[name]) for name in ("owner", "encoding", "locale") if fields.get(name)},
        **({} if limit is None else {"connection_limit": limit}),
        "extensions": _extensions(f"{where}.extensions", fields.get("extensions", []), problems),
        "state": state,
    }


def _extensions(where: str, given: Any, problems: Problems) -> list[dict[str, str]]:
    """Names, or names with a schema."""
    found = list[dict[str, str]]()
    for index, entry in enumerate(problems.sequence(where, given)):
        fields = (
            {"name": entry}
            if isinstance(entry, str)
            else problems.fields(f"{where}[{index}]", entry, ("name", "schema"))
        )
        named = {key: value for key, value in fields.items() if value}
        _names(f"{where}[{index}]", [named.get("name"), *list(named.values())[1:]], problems)
        found.append({key: str(value) for key, value in named.items()})
    return found


def _told(user: Mapping[str, Any], secret: str) -> dict[str, Any]:
    """Only what differs from what the agents take for granted, so that the object is readable."""
    if user["state"] == "absent":
        return {key: user[key] for key in ("name", "state", "reassign_to") if user[key]}
    lists = {key: user[key] for key in ("databases", "options", "roles") if user[key]}
    return {"name": user["name"], "secret": secret, **lists, **({} if user["schema"] else {"schema": False})}


def _with_secret(user: Mapping[str, Any], cluster: Mapping[str, Any]) -> dict[str, Any]:
    prefix, name = cluster["prefix"], cluster["name"]
    return {
        **{key: user[key] for key in ("name", "databases", "password_type")},
        "secret": f"{name}-pguser-{user['name']}",
        "namespace": cluster["namespace"],
        "host": f"{name}-primary.{cluster['namespace']}.svc",
        "pooler": way_in(cluster),
        "port": cluster["port"],
        "labels": {**cluster["labels"], f"{prefix}role": "pguser", f"{prefix}pguser": user["name"]},
        "unknown_password": f"{prefix}password",
    }
