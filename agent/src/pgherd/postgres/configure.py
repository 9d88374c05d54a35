"""Writes the configuration files of a data directory: whole files, replaced atomically, only when they differ."""

from __future__ import annotations

import getpass
import re

from pgherd.model.settings import Configuration, Identity, Settings
from pgherd.model.slots import slot_name
from pgherd.postgres import incarnation, render
from pgherd.postgres.layout import Layout
from pgherd.postgres.source import Source

STANDBY = "standby.signal"
RECOVERY = "recovery.signal"


AS_IT_IS = Source("", "", 0, "")
"""Instead of a source: whom the server follows is not the caller's subject."""
SOURCE = re.compile(r"^(primary_conninfo|primary_slot_name) = .*$", re.MULTILINE)
SYNCHRONOUS = re.compile(r"^(synchronous_standby_names) = .*$", re.MULTILINE)


def write(
    layout: Layout, settings: Settings, identity: Identity, configuration: Configuration, source: Source | None,
    synchronous: str | None = None,
) -> bool:  # fmt: skip
    """Whether anything changed. Raises InvalidSetting before anything is written.

    `synchronous` is synchronous_standby_names; without it the file's value stays: the lease's set rests on it (S3).
    """
    system_user = getpass.getuser()
    slot = slot_name(identity.member)
    conf = render.postgresql_conf(settings, layout, configuration, identity.member, slot, source, synchronous or "")
    before = _read(layout, "postgresql.conf")
    if source is AS_IT_IS:
        conf = _kept(SOURCE, before, conf)
    if synchronous is None:
        conf = _kept(SYNCHRONOUS, before, conf)
    texts = {
        "postgresql.conf": conf,
        "pg_hba.conf": render.pg_hba_conf(configuration, mapped=system_user != "postgres"),
        "pg_ident.conf": render.pg_ident_conf(system_user),
    }
    changed = [_write(layout, name, text) for name, text in texts.items()]
    auto = _read(layout, "postgresql.auto.conf")
    names = set(re.findall(r"^(\S+) = ", conf, re.MULTILINE)) - render.DEFAULTS.keys()
    names -= {name.lower() for name in configuration.postgresql.parameters}
    changed.append(_write(layout, "postgresql.auto.conf", render.without_owned(auto, names)))
    return any(changed)


def synchronous(layout: Layout) -> bool:
    """Whether the file names anybody in synchronous_standby_names."""
    return any(not match[0].endswith("''") for match in SYNCHRONOUS.finditer(_read(layout, "postgresql.conf")))


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
    for path in (layout.state, layout.divergent, layout.socket, layout.temporary):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
