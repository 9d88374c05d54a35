"""PostgreSQL's configuration files as text, from dynamic configuration and what the product owns.

Pure. The product's keys win over the user's, since availability rests on them; everything else is the user's.
https://www.postgresql.org/docs/current/config-setting.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pgherd.model.settings import Configuration, InvalidSetting, Settings
from pgherd.postgres.layout import Layout
from pgherd.postgres.source import Source

REPLICATION_USER = "pgherd_replication"
LEAST_SENDERS = 10
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.$]*")

DEFAULTS: dict[str, Any] = {
    "max_connections": 100,
    "wal_keep_size": "128MB",
    "wal_retrieve_retry_interval": "500ms",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "jit": "off",
}
"""Used where the user says nothing. wal_retrieve_retry_interval decides how soon a replica finds a new primary."""

FORBIDDEN = frozenset({
    "data_directory", "config_file", "hba_file", "ident_file", "external_pid_file", "recovery_target",
    "recovery_target_action", "recovery_target_inclusive", "recovery_target_lsn", "recovery_target_name",
    "recovery_target_time", "recovery_target_xid", "promote_trigger_file", "recovery_end_command",
    "archive_cleanup_command", "archive_library", "include", "include_dir", "include_if_exists",
    "synchronous_standby_names", "restart_after_crash",
})  # fmt: skip
"""Never the user's and not set by us: they would move files, stop recovery, or read other files."""


def conninfo(source: Source, settings: Settings, layout: Layout, application: str, dbname: str) -> str:
    """libpq's keywords for the replication user over TLS; the address needs no name service, the name is verified."""
    words = {
        "host": f"{source.member}.{settings.cluster}-pods",
        "hostaddr": source.address,
        "port": source.port,
        "user": REPLICATION_USER,
        "dbname": dbname,
        "application_name": application,
        "sslmode": "verify-full",
        "sslcert": layout.keys / "tls.crt",
        "sslkey": layout.keys / "tls.key",
        "sslrootcert": layout.keys / "ca.crt",
        "connect_timeout": 5,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 5000,
    }
    return " ".join(f"{word}={_libpq(str(value))}" for word, value in words.items())


def followed_member(text: str, cluster: str) -> str | None:
    """The member that a primary_conninfo made above names."""
    match = re.search(rf"(?:^| )host=(\S+)\.{re.escape(cluster)}-pods(?: |$)", text)
    return match[1] if match else None


def _libpq(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_./:-]+", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def owned(settings: Settings, layout: Layout, user: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that the product sets on every member."""
    certificates = layout.certificates
    return {
        "listen_addresses": "*",
        "port": settings.postgres.port,
        "unix_socket_directories": settings.postgres.socket_directory,
        "cluster_name": settings.cluster,
        "wal_level": "logical",
        "wal_log_hints": "on",
        "hot_standby": "on",
        "max_wal_senders": max(LEAST_SENDERS, _number(user, "max_wal_senders")),
        "max_replication_slots": max(LEAST_SENDERS, _number(user, "max_replication_slots")),
        "wal_sender_timeout": "5s",
        "wal_receiver_timeout": "5s",
        "archive_mode": "on",
        "archive_command": "true",
        "restore_command": "",
        "recovery_target_timeline": "latest",
        "ssl": "on",
        "ssl_cert_file": certificates / "tls.crt",
        "ssl_key_file": certificates / "tls.key",
        "ssl_ca_file": certificates / "ca.crt",
        "password_encryption": "scram-sha-256",
        "logging_collector": "off",
        "log_destination": "stderr",
        "lc_messages": "C",
    }


def _number(user: Mapping[str, Any], name: str) -> int:
    try:
        return int(user.get(name, 0))
    except (TypeError, ValueError):
        raise InvalidSetting(f"postgresql.parameters.{name}={user[name]!r}: must be a whole number") from None


def postgresql_conf(
    settings: Settings, layout: Layout, configuration: Configuration, member: str, slot: str, source: Source | None,
    synchronous: str = "",
) -> str:  # fmt: skip
    """The whole postgresql.conf. Raises InvalidSetting for a name or value that would not be one line."""
    user = {name.lower(): value for name, value in configuration.postgresql.parameters.items()}
    for name, value in user.items():
        _check(name, value)
    parameters = {name: value for name, value in {**DEFAULTS, **user}.items() if name not in FORBIDDEN}
    parameters |= owned(settings, layout, user)
    parameters["primary_slot_name"] = slot if source else ""
    parameters["primary_conninfo"] = conninfo(source, settings, layout, member, "postgres") if source else ""
    parameters["synchronous_standby_names"] = synchronous
    lines = [f"{name} = {_quoted(value)}" for name, value in sorted(parameters.items())]
    return "\n".join(["# Written by pgherd: changes here are lost. Use the cluster's configuration.", *lines, ""])


def _check(name: str, value: Any) -> None:
    if not NAME.fullmatch(name):
        raise InvalidSetting(f"postgresql.parameters: {name!r} is not a parameter name")
    if isinstance(value, str) and ("\n" in value or "\0" in value):
        raise InvalidSetting(f"postgresql.parameters.{name}: must be one line")
    if not isinstance(value, (str, int, float, bool)):
        raise InvalidSetting(f"postgresql.parameters.{name}={value!r}: must be text, a number or a boolean")


def _quoted(value: Any) -> str:
    text = ("on" if value else "off") if isinstance(value, bool) else str(value)
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def pg_hba_conf(configuration: Configuration, mapped: bool) -> str:
    """Ours first, so that no line of the user can lock agents out; then the user's, or TLS with passwords."""
    user = configuration.postgresql.pg_hba
    for index, line in enumerate(user):
        if "\n" in line or "\0" in line or line.lstrip().startswith(("@", "include")):
            raise InvalidSetting(f"postgresql.pg_hba[{index}]={line!r}: must be one rule")
    mandatory = [
        f"local all postgres peer{' map=pgherd' if mapped else ''}",
        f"hostssl replication {REPLICATION_USER} all cert",
        f"hostssl postgres {REPLICATION_USER} all cert",
        f"host all {REPLICATION_USER} all reject",
    ]
    lines = [*mandatory, *(user or ("hostssl all all all scram-sha-256",))]
    return "# Written by pgherd.\n" + "\n".join(lines) + "\n"


def pg_ident_conf(system_user: str) -> str:
    """Lets the container's own user be postgres where it has another name."""
    return "# Written by pgherd.\n" + (f"pgherd {system_user} postgres\n" if system_user != "postgres" else "")


def without_owned(text: str, names: Iterable[str]) -> str:
    """postgresql.auto.conf without our parameters: ALTER SYSTEM must not override them."""
    taken = frozenset(names) | FORBIDDEN
    kept = [line for line in text.splitlines() if line.split("=", 1)[0].strip().lower() not in taken]
    return "".join(f"{line}\n" for line in kept)
