"""How commands print: tables for people (rich), JSON, YAML and tab-separated text for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from pgherd.cli.table import Row, Table
from pgherd.model.lease import Lease

if TYPE_CHECKING:
    from rich.console import Console

MIB = 1 << 20
ROLES = {
    "leader": "Leader", "standby_leader": "Standby Leader",
    "sync_standby": "Sync Standby", "quorum_standby": "Quorum Standby", "replica": "Replica",
    "primary": "Primary, no lease",
}  # fmt: skip
COLUMNS = ("Member", "Host", "Node", "Role", "State", "TL", "Lag in MB", "Notes")
PENDING = "Pending restart"
STYLES = {"streaming": "green", "running": "green", "no answer": "red", "no pod": "red", "crashed": "red"}


def document(value: Any, form: str) -> str:
    """`value` as JSON or YAML."""
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    import yaml

    return str(yaml.safe_dump(msgspec.to_builtins(value), sort_keys=False, allow_unicode=True)).rstrip("\n")


def tsv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["\t".join(header)]
    lines += ["\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row) for row in rows]
    return "\n".join(lines)


def console() -> Console:
    """Standard output; without a terminal nothing is shortened or wrapped."""
    from rich.console import Console

    wide = None if sys.stdout.isatty() else 1000
    return Console(file=sys.stdout, highlight=False, markup=False, width=wide)


def megabytes(lag: int | None) -> str:
    return "" if lag is None else str(round(lag / MIB))


def columns(shown: Table) -> tuple[str, ...]:
    """One more while a parameter of some member waits for a restart."""
    return (*COLUMNS, PENDING) if any(row.pending_restart for row in shown.members) else COLUMNS


def line(row: Row, names: Sequence[str]) -> tuple[str, ...]:
    """One cell for each of `columns`."""
    waiting = [f"{name}: {change.old_value} -> {change.new_value}" for name, change in row.pending_restart.items()]
    return (*cells(row), "; ".join(waiting)) if PENDING in names else cells(row)


def cells(row: Row) -> tuple[str, ...]:
    role = ROLES[row.role]
    lag = "" if row.leads else megabytes(row.lag) or "unknown"
    timeline = "" if row.timeline is None else str(row.timeline)
    return row.member, row.host or "", row.node or "", role, row.state, timeline, lag, "; ".join(row.notes)


def heading(shown: Table) -> str:
    identity = shown.system_identifier or (shown.initialize or "uninitialized")
    return f"Cluster: {shown.cluster} ({identity})"


def footer(shown: Table, lease: Lease | None, now: datetime | None = None) -> str:
    """Epoch, leader and age of the lease, and what is not as it should be."""
    parts = []
    if shown.trouble:
        parts.append(f"Attention: {shown.trouble}")
    elif lease is not None:
        parts.append(f"Lease: epoch {lease.epoch}, {_holder(shown, lease)}, ttl {lease.ttl:g} s{_age(lease, now)}")
    if lease is not None and lease.sync is not None:
        names = ", ".join(each.member for each in lease.sync.members)
        if lease.sync.votes < len(lease.sync.members):
            names = f"{lease.sync.votes} of {names}"
        parts.append(f"Synchronous: {f'commits wait for {names}' if names else 'nobody but the leader may lead'}")
    if shown.paused:
        parts.append("Maintenance mode: on")
        if shown.pause_wanted is False:
            parts.append("The end of maintenance is wanted, and not recorded by the leader yet")
    elif shown.pause_wanted:
        parts.append("Maintenance mode: wanted; it holds when the leader has recorded it")
    parts += shown.requests
    if any(row.state == "not asked" for row in shown.members):
        parts.append("The agents were not asked (no certificates): state and lag are what the lock says")
    return "\n".join(parts)


def _holder(shown: Table, lease: Lease) -> str:
    return f"held by {shown.leader}" if shown.leader else "free" if lease.free else "nobody's"


def _age(lease: Lease, now: datetime | None) -> str:
    """For people only: two machines' clocks are compared here."""
    try:
        renewed = datetime.fromisoformat(lease.renew_time)
    except ValueError:
        return ""
    return f", renewed {max(0.0, ((now or datetime.now(UTC)) - renewed).total_seconds()):.1f} s ago"


def members(shown: Table, lease: Lease | None, out: Console) -> None:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    grid = RichTable(box=box.ROUNDED, title=heading(shown), title_justify="left", title_style="bold")
    names = columns(shown)
    for name in names:
        grid.add_column(name, justify="right" if name in ("TL", "Lag in MB") else "left", overflow="fold")
    for row in shown.members:
        values = [Text(cell) for cell in line(row, names)]
        values[3].stylize("bold" if row.leads else "bold red" if row.role == "primary" else "")
        values[4].stylize(STYLES.get(row.state, "yellow"))
        grid.add_row(*values)
    out.print(grid)
    if below := footer(shown, lease):
        out.print(below)


def grid(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], out: Console) -> None:
    """Any other table."""
    from rich import box
    from rich.table import Table as RichTable

    shown = RichTable(*header, box=box.ROUNDED, title=title, title_justify="left", title_style="bold")
    for row in rows:
        shown.add_row(*row)
    out.print(shown)
