"""Writes the configuration files of a data directory: whole files, replaced atomically, only when they differ."""

from __future__ import annotations

import getpass
import re
from collections.abc import Mapping

from pgherd.model.parameters import SAME
from pgherd.model.settings import Configuration, Identity, Settings
from pgherd.model.slots import slot_name
from pgherd.postgres import incarnation, render
from pgherd.postgres.layout import Layout
from pgherd.postgres.source import Source

STANDBY = "standby.signal"
RECOVERY = "recovery.signal"


AS_IT_IS = Source("", "", 0, "")
"""Instead of a source: whom the server follows is not the caller's subject."""
SOURCE = re.compile(
    "^(primary_conninfo|primary_slot_name|restore_command|archive_cleanup_command|recovery_min_apply_delay) = .*$",
    re.MULTILINE,
)
SYNCHRONOUS = re.compile(r"^(synchronous_standby_names) = .*$", re.MULTILINE)


CONF, HBA, IDENT = "postgresql.conf", "pg_hba.conf", "pg_ident.conf"


def texts(
    layout: Layout, settings: Settings, identity: Identity, configuration: Configuration, source: Source | None,
    floor: Mapping[str, int] | None = None, synchronous: str = "",
) -> dict[str, str]:  # fmt: skip
    """The files as they should be. Raises InvalidSetting."""
    system_user = getpass.getuser()
    slot = slot_name(identity.member)
    conf = render.postgresql_conf(settings, layout, configuration, identity.member, slot, source, floor, synchronous)
    return {
        CONF: conf,
        HBA: render.pg_hba_conf(configuration, system_user != "postgres", settings.pooler is not None),
        IDENT: render.pg_ident_conf(configuration, system_user),
    }


def write(
    layout: Layout, settings: Settings, identity: Identity, configuration: Configuration, source: Source | None,
    floor: Mapping[str, int] | None = None, names: str | None = None,
) -> bool:  # fmt: skip
    """Whether anything changed. Raises InvalidSetting before anything is written.

    `names` is synchronous_standby_names; without it the file's value stays: the lease's set rests on it (S3).
    """
    files = texts(layout, settings, identity, configuration, source, floor, names or "")
    before = _read(layout, CONF)
    if source is AS_IT_IS:
        files[CONF] = _kept(SOURCE, before, files[CONF])
    if names is None:
        files[CONF] = _kept(SYNCHRONOUS, before, files[CONF])
    changed = [_write(layout, name, text) for name, text in files.items()]
    auto = _read(layout, "postgresql.auto.conf")
    taken = set(re.findall(r"^(\S+) = ", files[CONF], re.MULTILINE)) - render.DEFAULTS.keys()
    taken -= {name.lower() for name in configuration.postgresql.parameters}
    changed.append(_write(layout, "postgresql.auto.conf", render.without_owned(auto, taken | set(SAME))))
    return any(changed)


def write_rules(layout: Layout, files: Mapping[str, str]) -> None:
    """Only pg_hba.conf and pg_ident.conf."""
    for name in (HBA, IDENT):
        _write(layout, name, files[name])


def point(
    layout: Layout, settings: Settings, identity: Identity, configuration: Configuration, source: Source | None
) -> bool:
    """Another source in the postgresql.conf that is in place; whether that changed it."""
    whole = texts(layout, settings, identity, configuration, source)[CONF]
    lines = {match[1]: match[0] for match in SOURCE.finditer(whole)}
    return _write(layout, CONF, SOURCE.sub(lambda match: lines[match[1]], _read(layout, CONF)))


def require(layout: Layout, names: str) -> bool:
    """Another synchronous_standby_names in the postgresql.conf that is in place; whether that changed it."""
    line = render.line("synchronous_standby_names", names)
    text, there = SYNCHRONOUS.subn(lambda match: line, _read(layout, CONF))
    return _write(layout, CONF, text if there else f"{text}{line}\n")


def synchronous(layout: Layout) -> bool:
    """Whether the file names anybody in synchronous_standby_names."""
    return any(not match[0].endswith("''") for match in SYNCHRONOUS.finditer(_read(layout, CONF)))


def _kept(lines: re.Pattern[str], before: str, conf: str) -> str:
    """`conf` with these lines as they were before."""
    old = {match[1]: match[0] for match in lines.finditer(before)}
    return lines.sub(lambda match: old.get(match[1], f"{match[1]} = ''"), conf)


def _read(layout: Layout, name: str) -> str:
    try:
        return (layout.data / name).read_text()
    except FileNotFoundError:
        return ""


def _write(layout: Layout, name: str, text: str) -> bool:
    if _read(layout, name) == text:
        return False
    incarnation.write_durably(layout.data / name, text)
    return True


def mark_standby(layout: Layout) -> None:
    """Durable before the start: without the file PostgreSQL comes up writable (S1)."""
    incarnation.write_durably(layout.data / STANDBY, "")
    (layout.data / RECOVERY).unlink(missing_ok=True)
    incarnation.sync_directory(layout.data)


def mark_primary(layout: Layout) -> None:
    """For a start in place: plain crash recovery, then writable."""
    for name in (STANDBY, RECOVERY):
        (layout.data / name).unlink(missing_ok=True)
    incarnation.sync_directory(layout.data)


def make_directories(layout: Layout) -> None:
    for path in (layout.state, layout.divergent, layout.socket, layout.temporary, *layout.tablespaces):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
