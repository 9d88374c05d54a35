"""PostgreSQL's configuration files as text, from dynamic configuration and what the product owns.

Pure. The product's keys win over the user's, since availability rests on them; everything else is the user's.
https://www.postgresql.org/docs/current/config-setting.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pgherd.model.certificate import POOLER_USER, REPLICATION_USER
from pgherd.model.parameters import LIMITS, at_least, whole
from pgherd.model.settings import Configuration, InvalidSetting, Settings
from pgherd.model.slots import NATIVE
from pgherd.model.standby import REMOTE
from pgherd.postgres import fetching
from pgherd.postgres.layout import Layout
from pgherd.postgres.source import Source

LEAST_SENDERS = 10
SPARE_SLOTS = 4
"""For slots that users make themselves, pg_basebackup and the like."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.$]*")

DEFAULTS: dict[str, Any] = {
    **LIMITS,
    "track_commit_timestamp": "off",
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
    keys = layout.remote_keys if source.remote else layout.keys
    words = {
        **(_remote_host(source) if source.remote else _member_host(source, settings)),
        "port": source.port,
        "user": REPLICATION_USER,
        "dbname": dbname,
        # Never the name of a member of the other cluster: its commits would count this standby as one of its own (S3).
        "application_name": f"standby/{application}" if source.remote else application,
        "sslmode": source.sslmode,
        "sslcert": keys / "tls.crt",
        "sslkey": keys / "tls.key",
        "sslrootcert": keys / "ca.crt",
        "connect_timeout": 5,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 5000,
    }
    return " ".join(f"{word}={_libpq(str(value))}" for word, value in words.items())


def _member_host(source: Source, settings: Settings) -> dict[str, Any]:
    return {"host": f"{source.member}.{settings.cluster}-pods", "hostaddr": source.address}


def _remote_host(source: Source) -> dict[str, Any]:
    several = {"target_session_attrs": "read-write"} if "," in source.address else {}
    return {"host": source.address, **several}


def followed(conninfo: str, restore: str, cluster: str) -> str | None:
    """Whom the settings made here follow: a member, or REMOTE."""
    if re.search(r"(?:^| )application_name=standby/", conninfo) or restore.endswith(fetching.REMOTE_MARK):
        return REMOTE
    match = re.search(rf"(?:^| )host=(\S+)\.{re.escape(cluster)}-pods(?: |$)", conninfo)
    return match[1] if match else None


def _libpq(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_./:,-]+", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def replication_slots(settings: Settings, configuration: Configuration) -> int:
    """Enough for the members and what is declared; a server with more slots than this does not start."""
    needed = len(settings.members) + len(configuration.permanent)
    return max(LEAST_SENDERS, needed + SPARE_SLOTS, _number(_lowered(configuration), "max_replication_slots"))


def _lowered(configuration: Configuration) -> dict[str, Any]:
    return {name.lower(): value for name, value in configuration.postgresql.parameters.items()}


def synchronised(settings: Settings, configuration: Configuration) -> dict[str, Any]:
    """What declared logical slots need to survive a failover; nothing of it without any."""
    if not configuration.logical_slots:
        return {}
    native = {"sync_replication_slots": "on"} if settings.postgres.version >= NATIVE else {}
    return {"hot_standby_feedback": "on", **native}


def owned(settings: Settings, layout: Layout, configuration: Configuration) -> dict[str, Any]:
    """Parameters that the product sets on every member."""
    user = _lowered(configuration)
    certificates = layout.served
    return {
        "listen_addresses": "*",
        "port": settings.postgres.port,
        "unix_socket_directories": settings.postgres.socket_directory,
        "cluster_name": settings.cluster,
        "wal_level": "logical",
        "wal_log_hints": "on",
        "hot_standby": "on",
        "max_wal_senders": max(LEAST_SENDERS, _number(user, "max_wal_senders")),
        "max_replication_slots": replication_slots(settings, configuration),
        "wal_sender_timeout": "5s",
        "wal_receiver_timeout": "5s",
        "archive_mode": "on",
        "archive_command": "true",
        "recovery_target_timeline": "latest",
        "ssl": "on",
        "ssl_cert_file": certificates / "tls.crt",
        "ssl_key_file": certificates / "tls.key",
        "ssl_ca_file": certificates / "ca.crt",
        "password_encryption": "scram-sha-256",
        "logging_collector": "off",
        "log_destination": "stderr",
        "lc_messages": "C",
        **synchronised(settings, configuration),
    }


def _number(user: Mapping[str, Any], name: str) -> int:
    found = whole(user.get(name, 0))
    if found is None:
        raise InvalidSetting(f"postgresql.parameters.{name}={user[name]!r}: must be a whole number")
    return found


def postgresql_conf(
    settings: Settings, layout: Layout, configuration: Configuration, member: str, slot: str, source: Source | None,
    floor: Mapping[str, int] | None = None, synchronous: str = "",
) -> str:  # fmt: skip
    """The whole postgresql.conf. Raises InvalidSetting for a name or value that would not be one line.

    `floor`: for a standby's start, what its WAL demands at least.
    """
    user = _lowered(configuration)
    for name, value in user.items():
        check_parameter(name, value)
    parameters = {name: value for name, value in {**DEFAULTS, **user}.items() if name not in FORBIDDEN}
    parameters |= owned(settings, layout, configuration)
    parameters = at_least(parameters, floor or {})
    parameters |= following(settings, layout, configuration, member, slot, source)
    parameters["synchronous_standby_names"] = synchronous
    lines = [line(name, value) for name, value in sorted(parameters.items())]
    return "\n".join(["# Written by pgherd: changes here are lost. Use the cluster's configuration.", *lines, ""])


def following(
    settings: Settings, layout: Layout, configuration: Configuration, member: str, slot: str, source: Source | None
) -> dict[str, Any]:
    """Whom a standby follows, and from where it fetches what that one no longer has: all that changes with it."""
    if source is None:
        nobody = ("primary_conninfo", "primary_slot_name", "restore_command", "archive_cleanup_command")
        return {**dict.fromkeys(nobody, ""), "recovery_min_apply_delay": "0"}
    own = source.slot if source.remote else slot if configuration.postgresql.use_slots else ""
    return {
        "primary_conninfo": conninfo(source, settings, layout, member, "postgres") if source.address else "",
        "primary_slot_name": own,
        "restore_command": fetching.command_line(layout, source.restore_command, source.remote),
        "archive_cleanup_command": source.archive_cleanup_command,
        "recovery_min_apply_delay": source.recovery_min_apply_delay or "0",
    }


def check_parameter(name: str, value: Any) -> None:
    """Raises InvalidSetting for a name or value that would not be one line of postgresql.conf."""
    if not NAME.fullmatch(name):
        raise InvalidSetting(f"postgresql.parameters: {name!r} is not a parameter name")
    if isinstance(value, str) and ("\n" in value or "\0" in value):
        raise InvalidSetting(f"postgresql.parameters.{name}: must be one line")
    if not isinstance(value, (str, int, float, bool)):
        raise InvalidSetting(f"postgresql.parameters.{name}={value!r}: must be text, a number or a boolean")


def line(name: str, value: Any) -> str:
    return f"{name} = {_quoted(value)}"


def _quoted(value: Any) -> str:
    text = ("on" if value else "off") if isinstance(value, bool) else str(value)
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def pg_hba_conf(configuration: Configuration, mapped: bool, pooler: bool = False) -> str:
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
    if pooler:
        mandatory += [f"hostssl postgres {POOLER_USER} all cert", f"host all {POOLER_USER} all reject"]
    lines = [*mandatory, *(user or ("hostssl all all all scram-sha-256",))]
    return "# Written by pgherd.\n" + "\n".join(lines) + "\n"


def pg_ident_conf(configuration: Configuration, system_user: str) -> str:
    """Lets the container's own user be postgres where it has another name; then the user's maps."""
    for index, line in enumerate(configuration.postgresql.pg_ident):
        words = line.split("#", 1)[0].split()
        if "\n" in line or "\0" in line or line.lstrip().startswith(("@", "include")) or (words and len(words) < 3):
            raise InvalidSetting(f"postgresql.pg_ident[{index}]={line!r}: must be one line: map, system user, role")
        if words and words[0].strip('"') == "pgherd":
            raise InvalidSetting(f"postgresql.pg_ident[{index}]={line!r}: the map pgherd is the product's")
    own = [f"pgherd {system_user} postgres"] if system_user != "postgres" else []
    return "\n".join(["# Written by pgherd.", *own, *configuration.postgresql.pg_ident, ""])


def without_owned(text: str, names: Iterable[str]) -> str:
    """postgresql.auto.conf without our parameters: ALTER SYSTEM must not override them."""
    taken = frozenset(names) | FORBIDDEN
    kept = [line for line in text.splitlines() if line.split("=", 1)[0].strip().lower() not in taken]
    return "".join(f"{line}\n" for line in kept)
