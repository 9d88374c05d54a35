"""What a pooler's pod is told, in a file that the play writes."""

from __future__ import annotations

import msgspec

from pgherd.model.settings import InvalidSetting, Port


class PoolerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    host: str
    """Name of the Service that leads to the server, as in its certificate."""
    port: Port = 5432
    rest_port: Port = 8008
    pausable: bool = True
    """Whether a planned change of the primary concerns this pool (not one of replicas)."""
    configuration: str = "/etc/pgbouncer/pgbouncer.ini"
    certificates: str = "/pgconf/tls"
    """tls.crt, tls.key and ca.crt as mounted: the certificate serves clients, and logs the pooler in at the server."""
    used_certificates: str = "/tmp/tls"
    """A copy of what has proved itself: PgBouncer reads this one."""
    socket_directory: str = "/tmp/pgbouncer"
    """Where the console is; only this pod's own user may use it."""
    console_port: Port = 5432
    program: str = "/usr/sbin/pgbouncer"
    listen: str = "0.0.0.0"


def read_settings(text: str) -> PoolerSettings:
    """Settings from YAML text. Raises InvalidSetting with the field's path."""
    try:
        return msgspec.yaml.decode(text, type=PoolerSettings)
    except msgspec.MsgspecError as error:
        raise InvalidSetting(f"pooler.yaml: {error}") from None
