# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an inventory's variables to one cluster, or to everything that is wrong with them.

Pure: no API, no clock. Whatever comes out of `declare` can be rendered; what cannot work is refused here, with the
variable's name, what was given and what is allowed, before anything is changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .certificates import is_address, wanted
from .checks import Problems, unknown
from .names import (
    DNS_LABEL,
    DNS_NAME,
    LABEL_PREFIX,
    LOCK_KINDS,
    LONGEST_CLUSTER_AND_SET,
    LONGEST_MEMBER,
    SERVICE_NAME,
    member_names,
)
from .parameters import parameter_problem
from .patches import patches
from .replication_slots import slots
from .synchronous import synchronous_problem
from .tags import check_tags, tags_of_set
from .timing import timing_problem

MAJORS = (14, 15, 16, 17, 18)
SERVICE_TYPES = ("ClusterIP", "NodePort", "LoadBalancer")

DEFAULTS: Mapping[str, Any] = {
    "postgres_allow_data_loss_reclone": True,
    "postgres_before_stop": "",
    "postgres_callbacks": {},
    "postgres_certificate_names": [],
    "postgres_cluster_domain": "cluster.local",
    "postgres_configuration_conflict": "fail",
    "postgres_early_takeover_delay": 3,
    "postgres_failsafe_mode": True,
    "postgres_ignore_slots": [],
    "postgres_image": "",
    "postgres_image_pull_policy": "IfNotPresent",
    "postgres_image_pull_secrets": [],
    "postgres_instances": [{"name": "instance1", "replicas": 1, "storage": "1Gi"}],
    "postgres_label_prefix": "pgherd.dev/",
    "postgres_lock": "endpoints",
    "postgres_loop_wait": 3,
    "postgres_maximum_lag_on_failover": 1048576,
    "postgres_maximum_lag_on_syncnode": -1,
    "postgres_member_slots_ttl": 1800,
    "postgres_parameters": {},
    "postgres_patches": [],
    "postgres_pg_hba": [],
    "postgres_pg_ident": [],
    "postgres_pre_promote": "",
    "postgres_port": 5432,
    "postgres_primary_start_timeout": 300,
    "postgres_primary_stop_timeout": 60,
    "postgres_replica_service_node_port": None,
    "postgres_replica_service_type": "ClusterIP",
    "postgres_resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
    "postgres_rest_port": 8008,
    "postgres_retry_timeout": 3,
    "postgres_service_node_port": None,
    "postgres_service_type": "ClusterIP",
    "postgres_shared_memory_size": "256Mi",
    "postgres_slots": {},
    "postgres_storage_class": "",
    "postgres_synchronous_mode": False,
    "postgres_synchronous_mode_strict": False,
    "postgres_synchronous_node_count": 1,
    "postgres_temporary_size": "64Mi",
    "postgres_ttl": 10,
    "postgres_use_pg_rewind": True,
    "postgres_use_slots": True,
    "postgres_version": 17,
    "postgres_wait": True,
    "postgres_wait_timeout": 300,
}
# Without a default here: required, taken from the host, absent on purpose, or read by one playbook only.
WITHOUT_DEFAULT = (
    "postgres_cluster_name",
    "postgres_context",
    "postgres_destroy",
    "postgres_kubeconfig",
    "postgres_namespace",
    "postgres_purge",
    "postgres_users",
)
KNOWN = tuple(sorted([*DEFAULTS, *WITHOUT_DEFAULT]))

_USER_OPTIONS = re.compile(r";|--|/\*|\bpassword\b", re.IGNORECASE)
_RESERVED_USERS = ("pg_", "pgherd_")
_NAME = "must be a name that Kubernetes takes: up to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit"
CALLBACKS = ("on_start", "on_stop", "on_restart", "on_role_change", "on_reload")
_DOTTED = "must be a DNS name: a-z, 0-9, - and dots"


class Invalid(ValueError):
    """Everything that is wrong with a declaration, one problem a line."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def declare(variables: Mapping[str, Any], host: str, image_needed: bool = True) -> dict[str, Any]:
    """One cluster from the variables of inventory host `host`. Raises Invalid.

    Without `image_needed` nobody is going to start pods: whoever looks or deletes need not know the image.
    """
    given = {name: value for name, value in variables.items() if name.startswith("postgres_")}
    values = {**DEFAULTS, "postgres_cluster_name": host, **given}
    problems = Problems()
    problems.texts += unknown(given, KNOWN, "postgres_")
    cluster = _identity(values, problems)
    cluster.update(_pod(values, image_needed, problems), services=_services(values, problems))
    cluster["sets"] = _sets(values, cluster, problems)
    cluster["members"] = [member for each in cluster["sets"] for member in each["members"]]
    cluster["users"] = _users(values, cluster, problems)
    cluster["configuration"] = _configuration(values, problems)
    cluster["conflict"] = problems.choice(
        "postgres_configuration_conflict",
        values["postgres_configuration_conflict"],
        ("fail", "inventory", "cluster"),
    )
    cluster["patches"] = patches(values["postgres_patches"], cluster, problems)
    cluster["wait"] = problems.boolean("postgres_wait", values["postgres_wait"])
    cluster["wait_timeout"] = problems.integer("postgres_wait_timeout", values["postgres_wait_timeout"], 1, 86400)
    names = _certificate_names(values["postgres_certificate_names"], problems)
    if problems.texts:
        raise Invalid(problems.texts)
    cluster["certificates"] = wanted(cluster, names)
    cluster["node_ports"] = {
        str(cluster["services"][role]["node_port"]): f"{cluster['name']}-{service}"
        for role, service in (("primary", "ha"), ("replica", "replicas"))
        if cluster["services"][role]["node_port"]
    }
    return cluster


def _certificate_names(given: Any, problems: Problems) -> list[str]:
    names = problems.sequence("postgres_certificate_names", given)
    for each in names:
        bare = each.removeprefix("*.").lower() if isinstance(each, str) else ""
        if not DNS_NAME.fullmatch(bare) and not is_address(each):
            problems.add("postgres_certificate_names", each, f"{_DOTTED}, perhaps with *. before it, or an IP address")
    return names


def _identity(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    allowed = f"{_NAME}, a letter first; without this variable it is the inventory host's name"
    name = problems.pattern("postgres_cluster_name", values["postgres_cluster_name"], SERVICE_NAME, allowed)
    if "postgres_namespace" not in values:
        problems.texts.append("postgres_namespace: is required; name a namespace that exists")
    namespace = values.get("postgres_namespace", "default")
    problems.pattern("postgres_namespace", namespace, DNS_LABEL, _NAME)
    prefix = problems.pattern(
        "postgres_label_prefix",
        values["postgres_label_prefix"],
        LABEL_PREFIX,
        "must be a DNS name followed by a slash, such as pgherd.dev/",
    )
    common = {f"{prefix}cluster": name}
    lock = problems.choice("postgres_lock", values["postgres_lock"], tuple(LOCK_KINDS))
    return {
        "name": name,
        "namespace": str(namespace),
        "prefix": prefix,
        "lock": lock,
        "lock_kind": LOCK_KINDS.get(lock, "Endpoints"),
        "selector": common,
        "owned": {f"{prefix}applied-by": "play"},
        "labels": {**common, f"{prefix}applied-by": "play"},
        "domain": problems.pattern(
            "postgres_cluster_domain", values["postgres_cluster_domain"], DNS_NAME, f"{_DOTTED}, such as cluster.local"
        ),
    }


def _pod(values: Mapping[str, Any], image_needed: bool, problems: Problems) -> dict[str, Any]:
    version = problems.number("postgres_version", values["postgres_version"])
    if version not in MAJORS:
        problems.add("postgres_version", values["postgres_version"], f"must be one of {', '.join(map(str, MAJORS))}")
    image = values["postgres_image"]
    if not isinstance(image, str) or " " in image or (image_needed and not image):
        problems.add("postgres_image", image, "is required: the agent's image, with a tag or digest")
    port = problems.integer("postgres_port", values["postgres_port"], 1024, 65535)
    rest_port = problems.integer("postgres_rest_port", values["postgres_rest_port"], 1024, 65535)
    if port == rest_port:
        problems.add("postgres_port", port, "is also postgres_rest_port; each listener needs a port of its own")
    policy = problems.choice(
        "postgres_image_pull_policy", values["postgres_image_pull_policy"], ("Always", "IfNotPresent", "Never")
    )
    return {
        "version": int(version),
        "image": image,
        "image_pull_policy": policy,
        "image_pull_secrets": _pull_secrets(values["postgres_image_pull_secrets"], problems),
        "port": port,
        "rest_port": rest_port,
        "resources": problems.resources("postgres_resources", values["postgres_resources"]),
        "shared_memory_size": problems.storage("postgres_shared_memory_size", values["postgres_shared_memory_size"]),
        "temporary_size": problems.storage("postgres_temporary_size", values["postgres_temporary_size"]),
        "storage_class": _storage_class("postgres_storage_class", values["postgres_storage_class"], problems),
    }


def _storage_class(name: str, value: Any, problems: Problems) -> str:
    return problems.pattern(name, value, DNS_NAME, _DOTTED) if value not in ("", None) else ""


def _pull_secrets(given: Any, problems: Problems) -> list[dict[str, Any]]:
    secrets = []
    for index, entry in enumerate(problems.sequence("postgres_image_pull_secrets", given)):
        where = f"postgres_image_pull_secrets[{index}]"
        fields = problems.fields(where, entry, ("name",))
        problems.pattern(f"{where}.name", fields.get("name"), DNS_NAME, _DOTTED)
        secrets.append(fields)
    return secrets


def _services(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    services = {}
    for role, prefix in (("primary", "postgres_service"), ("replica", "postgres_replica_service")):
        kind = problems.choice(f"{prefix}_type", values[f"{prefix}_type"], SERVICE_TYPES)
        node_port = values[f"{prefix}_node_port"]
        if node_port is not None:
            node_port = problems.integer(f"{prefix}_node_port", node_port, 1, 65535)
            if kind == "ClusterIP":
                problems.add(f"{prefix}_node_port", node_port, f"needs {prefix}_type NodePort or LoadBalancer")
        services[role] = {"type": kind, "node_port": node_port}
    ports = [each["node_port"] for each in services.values() if each["node_port"]]
    if len(ports) != len(set(ports)):
        problems.add("postgres_replica_service_node_port", ports[1], "is also postgres_service_node_port")
    return services


def _sets(values: Mapping[str, Any], cluster: Mapping[str, Any], problems: Problems) -> list[dict[str, Any]]:
    given = problems.sequence("postgres_instances", values["postgres_instances"])
    if not given:
        problems.add("postgres_instances", given, "must have at least one entry")
    sets, names, taken = list[dict[str, Any]](), set[str](), set[str]()
    for index, entry in enumerate(given):
        where = f"postgres_instances[{index}]"
        known = ("name", "replicas", "storage", "storage_class", "resources", "members", "tags")
        fields = {"replicas": 1, "name": None, **problems.fields(where, entry, known)}
        name = problems.pattern(f"{where}.name", fields["name"], DNS_LABEL, _NAME)
        if name in names:
            problems.add(f"{where}.name", name, "is there twice; each entry needs a name of its own")
        if len(cluster["name"]) + len(name) > LONGEST_CLUSTER_AND_SET:
            problems.add(
                f"{where}.name", name,
                f"with postgres_cluster_name {cluster['name']} it has {len(cluster['name']) + len(name)} characters; "
                f"together they may have {LONGEST_CLUSTER_AND_SET}",
            )  # fmt: skip
        names.add(name)
        replicas = problems.integer(f"{where}.replicas", fields["replicas"], 1, 100)
        members = _members(fields, where, cluster["name"], name, replicas, taken, problems)
        taken.update(members)
        tags = tags_of_set(where, fields.get("tags") or {}, problems)
        shape = {
            "storage": problems.storage(f"{where}.storage", fields.get("storage")),
            "storage_class": _storage_class(f"{where}.storage_class", fields.get("storage_class"), problems)
            or cluster["storage_class"],
            "resources": problems.resources(f"{where}.resources", fields["resources"])
            if "resources" in fields
            else cluster["resources"],
        }
        sets.append(
            {"name": name, "replicas": replicas,
             "members": [{"name": each, "pod": f"{each}-0", "set": name, "tags": dict(tags), **shape}
                         for each in members]}
        )  # fmt: skip
    check_tags(sets, problems)
    return sets


def _members(
    fields: Mapping[str, Any], where: str, cluster: str, name: str, replicas: int, taken: set[str], problems: Problems
) -> list[str]:
    if "members" not in fields:
        return member_names(cluster, name, replicas, taken)
    listed = problems.sequence(f"{where}.members", fields["members"])
    for each in listed:
        if not isinstance(each, str) or not DNS_LABEL.fullmatch(each) or not each.startswith(f"{cluster}-{name}-"):
            problems.add(f"{where}.members", each, f"must be names that begin with {cluster}-{name}-")
        elif len(each) > LONGEST_MEMBER:
            problems.add(f"{where}.members", each, f"has {len(each)} characters; a member may have {LONGEST_MEMBER}")
        elif each in taken:
            problems.add(f"{where}.members", each, "is also a member of another set")
    if len(listed) != replicas or len(set(map(str, listed))) != replicas:
        problems.add(f"{where}.members", listed, f"must be {replicas} different names, one for each replica")
    return [str(each) for each in listed]


def _users(values: Mapping[str, Any], cluster: Mapping[str, Any], problems: Problems) -> list[dict[str, Any]]:
    name = cluster["name"]
    given = values.get("postgres_users")
    if given is None and not DNS_LABEL.fullmatch(name):
        return []
    given = [{"name": name, "databases": [name]}] if given is None else problems.sequence("postgres_users", given)
    users, seen = list[dict[str, Any]](), set[str]()
    for index, entry in enumerate(given):
        where = f"postgres_users[{index}]"
        fields = {"name": None, **problems.fields(where, entry, ("name", "databases", "options"))}
        user = problems.pattern(f"{where}.name", fields["name"], DNS_LABEL, _NAME)
        if user in seen:
            problems.add(f"{where}.name", user, "is there twice")
        if user.startswith(_RESERVED_USERS):
            problems.add(f"{where}.name", user, f"names that begin with {' or '.join(_RESERVED_USERS)} are reserved")
        seen.add(user)
        databases = problems.sequence(f"{where}.databases", fields.get("databases", []))
        for database in databases:
            if not isinstance(database, str) or not 0 < len(database.encode()) <= 63:
                problems.add(f"{where}.databases", database, "must be names of 1 to 63 bytes")
        options = fields.get("options", "")
        if not isinstance(options, str) or len(options) > 200 or _USER_OPTIONS.search(options):
            problems.add(f"{where}.options", options, "must be role options without PASSWORD, comments and ;")
        users.append(
            {"name": user, "databases": databases, "options": options, "secret": f"{name}-pguser-{user}",
             "namespace": cluster["namespace"], "host": f"{name}-primary.{cluster['namespace']}.svc",
             "port": cluster["port"],
             "labels": {**cluster["labels"], f"{cluster['prefix']}role": "pguser", f"{cluster['prefix']}pguser": user}}
        )  # fmt: skip
    return users


def _hooks(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """Programs of the user; only those that are given."""
    commands = problems.fields("postgres_callbacks", values["postgres_callbacks"], CALLBACKS)
    result: dict[str, Any] = {"callbacks": commands} if commands else {}
    result |= {
        each: values[f"postgres_{each}"] for each in ("pre_promote", "before_stop") if values[f"postgres_{each}"]
    }
    named = {f"callbacks.{name}": command for name, command in commands.items()} | result
    for name, command in named.items():
        if name != "callbacks" and not (isinstance(command, str) and command.startswith("/")):
            problems.add(f"postgres_{name}", command, "must be a command line that begins with an absolute path")
    return result


def _configuration(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """The dynamic configuration in Patroni's shape."""
    numbers = ("ttl", "loop_wait", "retry_timeout", "early_takeover_delay", "primary_start_timeout",
               "primary_stop_timeout", "member_slots_ttl")  # fmt: skip
    result: dict[str, Any] = {each: problems.number(f"postgres_{each}", values[f"postgres_{each}"]) for each in numbers}
    for each in numbers[3:]:
        if result[each] < 0:
            problems.add(f"postgres_{each}", values[f"postgres_{each}"], "must be 0 or more seconds")
    lag = "postgres_maximum_lag_on_failover"
    result["maximum_lag_on_failover"] = problems.integer(lag, values[lag], 0, 2**63 - 1)
    problem = timing_problem(result, "postgres_")
    if problem and not any(
        text.startswith(tuple(f"postgres_{each}=" for each in numbers[:3])) for text in problems.texts
    ):
        problems.texts.append(problem)
    for each in ("synchronous_mode", "synchronous_mode_strict", "synchronous_node_count", "maximum_lag_on_syncnode"):
        result[each] = values[f"postgres_{each}"]
    problem = synchronous_problem(result, "postgres_")
    if problem:
        problems.texts.append(problem)
    reclone = "postgres_allow_data_loss_reclone"
    result["allow_data_loss_reclone"] = problems.boolean(reclone, values[reclone])
    failsafe = "postgres_failsafe_mode"
    result["failsafe_mode"] = problems.boolean(failsafe, values[failsafe])
    parameters = problems.mapping("postgres_parameters", values["postgres_parameters"])
    for name, value in parameters.items():
        refusal = parameter_problem(name, value)
        if refusal:
            problems.add(f"postgres_parameters.{name}", value, refusal)
    result |= slots(values, problems)
    rules = {each: problems.sequence(f"postgres_{each}", values[f"postgres_{each}"]) for each in ("pg_hba", "pg_ident")}
    for each, lines in rules.items():
        for line in lines:
            if not isinstance(line, str) or "\n" in line or re.match(r"\s*(@|include)", line):
                problems.add(f"postgres_{each}", line, f"must be lines of {each}.conf without include")
    result["postgresql"] = {
        "parameters": parameters,
        **rules,
        "use_slots": problems.boolean("postgres_use_slots", values["postgres_use_slots"]),
        "use_pg_rewind": problems.boolean("postgres_use_pg_rewind", values["postgres_use_pg_rewind"]),
        **_hooks(values, problems),
    }
    return result
