# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run would do to a cluster: today's look at it, and what the API's dry run says that would change. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .rollout_plan import Cluster, Member, Plan, Step, plan

KINDS = (
    "nothing", "reload", "settings", "volume", "create", "start", "restart", "replace", "switchover", "remove", "stop",
)  # fmt: skip
# Context `postmaster` in pg_settings of PostgreSQL 14 to 18, as far as they may be set.
RESTART = frozenset({
    "autovacuum_freeze_max_age", "autovacuum_max_workers", "autovacuum_multixact_freeze_max_age",
    "autovacuum_worker_slots", "bonjour", "bonjour_name", "commit_timestamp_buffers", "data_sync_retry",
    "debug_io_direct", "event_source", "huge_page_size", "huge_pages", "ignore_invalid_pages", "io_max_combine_limit",
    "io_max_concurrency", "io_method", "jit_provider", "max_active_replication_origins", "max_connections",
    "max_files_per_process", "max_locks_per_transaction", "max_logical_replication_workers", "max_notify_queue_pages",
    "max_pred_locks_per_transaction", "max_prepared_transactions", "max_replication_slots", "max_wal_senders",
    "max_worker_processes", "min_dynamic_shared_memory", "multixact_member_buffers", "multixact_offset_buffers",
    "notify_buffers", "old_snapshot_threshold", "reserved_connections", "serializable_buffers", "shared_buffers",
    "shared_memory_type", "shared_preload_libraries", "subtransaction_buffers", "superuser_reserved_connections",
    "track_activity_query_size", "track_commit_timestamp", "transaction_buffers", "wal_buffers",
    "wal_decode_buffer_size",
})  # fmt: skip
_PARAMETER = "postgresql.parameters."


@dataclass(frozen=True)
class Changes:
    """What the dry run said: outcomes of objects, and keys of the dynamic configuration with both values."""

    objects: Sequence[Mapping[str, Any]] = ()
    configuration: Sequence[Mapping[str, Any]] = ()

    def changed(self, kind: str, field: str = "") -> list[str]:
        return [each["name"] for each in self.objects if each["kind"] == kind and each["action"] == "changed"
                and any(name.startswith(field) for name in each["fields"])]  # fmt: skip

    def created(self, kind: str) -> list[str]:
        return [each["name"] for each in self.objects if (each["kind"], each["action"]) == (kind, "created")]


def foreseen(cluster: Cluster, changes: Changes, shutdown: bool = False) -> Plan:
    """The steps of a run, those first that the play takes when it applies the objects."""
    if shutdown:
        return plan(cluster, shutdown)
    now = plan(cluster)
    then = plan(_after(cluster, changes))
    return Plan((*_applied(cluster, changes), *then.steps), now.waits, now.refused, then.refusals)


def _after(cluster: Cluster, changes: Changes) -> Cluster:
    """The cluster once the objects are applied, with everybody as well as today."""
    outdated = {f"{name}-0" for name in changes.changed("StatefulSet", "spec.template")}
    pending = {each["key"].removeprefix(_PARAMETER): _values(each) for each in _restarts(changes)}
    told = f"{cluster.name}-config" not in changes.changed("ConfigMap", "data")

    def after(member: Member) -> Member:
        return replace(
            member,
            outdated=member.outdated or member.name in outdated,
            pending={**member.pending, **pending} if member.present else member.pending,
            told=member.told and (told or not member.present),
        )

    known = {each.name for each in cluster.members}
    new = [Member(f"{name}-0", present=False, ready=False, streaming=False, state="not there yet")
           for name in changes.created("StatefulSet") if f"{name}-0" not in known]  # fmt: skip
    return replace(cluster, members=(*map(after, cluster.members), *new))


def _applied(cluster: Cluster, changes: Changes) -> Iterator[Step]:
    """What happens while objects and configuration are applied."""
    there = tuple(each.name for each in cluster.members if each.present)
    others = [each for each in changes.objects if each["action"] != "unchanged" and not _disrupts(each)]
    if others:
        yield Step("nothing", (), f"{len(others)} other objects are made, changed or deleted")
    loaded = [each["key"] for each in changes.configuration if each not in _restarts(changes)]
    if loaded and there:
        yield Step("reload", there, ", ".join(loaded))
    volumes = changes.changed("PersistentVolumeClaim", "spec.resources")
    if volumes:
        yield Step("volume", tuple(volumes), "they grow")
    for name in changes.created("StatefulSet"):
        copied = "a copy of the leader's data" if there else ""
        reason = "a new member" if there else "a new cluster's member"
        yield Step("create", (f"{name}-0",), reason, movement=copied)


def _disrupts(outcome: Mapping[str, Any]) -> bool:
    """It has a row of its own."""
    if outcome["fields"] and all(name.startswith('metadata.annotations["config') for name in outcome["fields"]):
        return True
    fields = {"StatefulSet": "spec.template", "PersistentVolumeClaim": "spec.resources"}.get(outcome["kind"])
    if outcome["kind"] == "StatefulSet" and outcome["action"] == "created":
        return True
    return bool(fields) and any(name.startswith(str(fields)) for name in outcome["fields"])


def _restarts(changes: Changes) -> list[Mapping[str, Any]]:
    return [each for each in changes.configuration if each["key"].startswith(_PARAMETER)
            and each["key"].removeprefix(_PARAMETER).lower() in RESTART]  # fmt: skip


def _values(change: Mapping[str, Any]) -> list[str]:
    """Old and new; without the old one nobody knows here what PostgreSQL runs with."""
    values = [change["before"], change["after"]]
    return [] if None in values else [str(each) for each in values]


# For people.


def over_budget(steps: Sequence[Step], budget: Mapping[str, Any]) -> list[str]:
    """In which ways the steps exceed `seconds` (of writes, all together) or are of other than the allowed `kinds`."""
    problems = list[str]()
    kinds = budget.get("kinds")
    if kinds is not None:
        problems += [f"{each.kind} of {', '.join(each.members)} ({each.reason}): kinds allows only "
                     f"{', '.join(kinds) or 'nothing'}" for each in steps
                     if each.kind not in (*kinds, "nothing", "settings")]  # fmt: skip
    seconds, expected = budget.get("seconds"), interruption(steps)
    if seconds is not None and (expected is None or expected > seconds):
        problems.append(f"writes are expected to wait {_seconds(expected)}: seconds allows {seconds:g} s")
    return problems


def interruption(steps: Sequence[Step]) -> float | None:
    """Seconds for which writes are expected to wait, all together; None: until the cluster is started again."""
    each = [step.seconds for step in steps]
    return None if None in each else round(sum(filter(None, each)), 3)


def rows(steps: Sequence[Step]) -> list[dict[str, Any]]:
    return [{"order": number, "kind": each.kind, "members": list(each.members), "reason": each.reason,
             "write_seconds": each.seconds, "data_movement": each.movement}
            for number, each in enumerate(steps, 1)]  # fmt: skip


def table(name: str, steps: Sequence[Step], waits: Sequence[str]) -> list[str]:
    """The plan as lines for a person."""
    if not steps:
        return [f"{name}: nothing to do"]
    cells = [(str(number), each.kind, _who(each), _cost(each), each.reason) for number, each in enumerate(steps, 1)]
    cells.insert(0, ("", "What", "Member", "Writes wait", "Why"))
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    lines = ["  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[4]]).rstrip()
             for row in cells]  # fmt: skip
    end = f"{name}: writes are expected to wait {_seconds(interruption(steps))} (documented budgets: docs/rollouts.md)"
    return [*lines, end, *(f"{name}: not before: {each}" for each in waits)]


def _who(step: Step) -> str:
    return " -> ".join(step.members) if step.kind == "switchover" else ", ".join(step.members) or "-"


def _cost(step: Step) -> str:
    return "; ".join(each for each in (_seconds(step.seconds) if step.seconds != 0 else "-", step.movement) if each)


def _seconds(seconds: float | None) -> str:
    return "until it is started" if seconds is None else f"{seconds:g} s"


def sentence(step: Step) -> str:
    return re.sub(r"\s+", " ", f"{step.kind} {_who(step)}: {step.reason}")
