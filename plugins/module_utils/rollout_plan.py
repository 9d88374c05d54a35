# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to happen to a cluster's members, in which order, and what must be true before it may go on.

Pure: one look at the cluster in, steps out. Only the first step is ever carried out, then the cluster is looked at
again: an interrupted play goes on where it was, and a failover in between changes the plan, not its safety.

    settings -> start -> repair -> replicas, one at a time -> switchover -> the former primary -> removals

Nothing but a repair begins while a member is down, behind, or not where the configuration is (S3, S8).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

FIGURES: Mapping[str, float] = {"switchover": 0.6, "restart": 3.0, "replace": 12.0}
"""Seconds for which writes are expected to wait: the budgets of docs/rollouts.md. `restart` and `replace` are those of
a primary that nobody takes over from; a replica's cost no write."""
SHRINKS_FIRST_ON_PRIMARY = frozenset(
    {"max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions",
     "max_locks_per_transaction"}
)  # fmt: skip
"""A standby needs at least what its primary ran with (docs/settings.md)."""


@dataclass(frozen=True)
class Member:
    """One member as the API shows it; names are those of pods."""

    name: str
    declared: bool = True
    running: bool = True
    """Whether its StatefulSet asks for a pod."""
    present: bool = True
    terminating: bool = False
    """Its pod is being deleted, for as long as its node takes: another one follows, of the newest template."""
    ready: bool = True
    streaming: bool = True
    """From the holder of the lease (S8); of a leader it says nothing."""
    outdated: bool = False
    """Its pod is of an earlier template."""
    template_seen: bool = True
    """Kubernetes knows the newest template, so that `outdated` means something."""
    pending: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Parameters that wait for a restart; with old and new value where the order depends on them."""
    configured: bool = True
    """It has the newest dynamic configuration in force."""
    refused: str = ""
    """Why it has not."""
    settled: bool = True
    """Its agent has read the newest static settings."""
    told: bool = True
    """The kubelet was told to look for them."""
    state: str = "running"
    may_lead: bool = True
    may_vote: bool = True
    """It may be a synchronous standby."""
    resizing: str = ""
    """Why its volume is not as large as declared; empty when it is."""
    resized_by_start: bool = False

    @property
    def broken(self) -> bool:
        return self.running and not self.ready

    def shrinks(self) -> list[str]:
        """Pending parameters that a standby cannot lower before its primary has."""
        return [name for name, (now, then) in self._ordered() if then < now]

    def grows(self) -> bool:
        """Whether it is to run with more than standbys may run with: those that stay behind hold it back."""
        return any(then > now for dummy, (now, then) in self._ordered())

    def without(self, names: Sequence[str]) -> Member:
        """As if these did not wait for a restart."""
        return replace(self, pending={name: each for name, each in self.pending.items() if name not in names})

    def _ordered(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for name, values in self.pending.items():
            if name in SHRINKS_FIRST_ON_PRIMARY and len(values) == 2 and all(each.isdigit() for each in values):
                yield name, (int(values[0]), int(values[1]))


@dataclass(frozen=True)
class Synchronous:
    """Of the configuration, and of the lease: who is in the set now."""

    count: int = 0
    """Standbys that should be in it; 0 when the mode is off."""
    strict: bool = False
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cluster:
    name: str
    members: tuple[Member, ...] = ()
    leader: str = ""
    """Who holds the lease; empty while nobody does."""
    last_leader: str = ""
    candidates: tuple[str, ...] = ()
    synchronous: Synchronous = Synchronous()
    paused: bool = False
    follows: bool = False
    """Another cluster: it is a standby cluster."""
    requests: tuple[str, ...] = ()
    """What people asked for and is not finished, one sentence each."""

    def member(self, name: str) -> Member | None:
        return next((each for each in self.members if each.name == name), None)


@dataclass(frozen=True)
class Step:
    kind: str
    """settings, start, stop, replace, restart, switchover, remove; in a plan of a check run also nothing, reload,
    volume and create."""
    members: tuple[str, ...]
    reason: str
    seconds: float | None = 0.0
    """For which writes are expected to wait; None: until the cluster is started again."""
    movement: str = ""
    """Data that is copied."""
    repairs: bool = False
    """It may begin although the cluster is not well: it can only become better."""


@dataclass(frozen=True)
class Plan:
    steps: tuple[Step, ...] = ()
    waits: tuple[str, ...] = ()
    """What must be over before the first step, or before it is known that there is none."""
    refused: tuple[str, ...] = ()
    """Members that do not take the configuration; over soon, or a mistake in it."""
    refusals: tuple[str, ...] = ()
    """Why this cannot be done at all."""

    @property
    def next(self) -> Step | None:
        """What may begin now."""
        if self.steps and (self.steps[0].repairs or not (self.waits or self.refused)):
            return self.steps[0]
        return None

    @property
    def done(self) -> bool:
        return not (self.steps or self.waits or self.refused or self.refusals)


def plan(cluster: Cluster, shutdown: bool = False) -> Plan:
    """Steps in order, and what they wait for."""
    if shutdown:
        stops = tuple(_stops(cluster))
        waits = tuple(_stopping(cluster))
        # The leader's stop, alone or with its last standbys, comes when everybody before it is gone.
        return Plan(tuple(replace(each, repairs=each.repairs and not waits) for each in stops), waits)
    steps = tuple(_steps(cluster))
    needed = any(not step.repairs for step in steps)
    refused = tuple(f"{each.name} refuses the configuration: {each.refused}" for each in _declared(cluster)
                    if each.ready and each.refused)  # fmt: skip
    waits = (*_unread(cluster), *(_unwell(cluster) if needed else _ending(cluster)))
    return Plan(steps, waits, refused, tuple(_refusals(cluster, steps)))


def _declared(cluster: Cluster) -> list[Member]:
    return [each for each in cluster.members if each.declared]


# What is done.


def _steps(cluster: Cluster) -> Iterator[Step]:
    late = tuple(each.name for each in cluster.members if each.present and not each.told
                 and not each.terminating)  # fmt: skip
    if late:
        yield Step("settings", late, "their agents are to read the changed static settings", repairs=True)
    yield from _starts(cluster)
    repairs = tuple(_repairs(cluster))
    yield from repairs
    repaired = {step.members[0] for step in repairs}
    cluster = replace(cluster, members=tuple(each for each in cluster.members if each.name not in repaired))
    updates, leader = tuple(_updates(cluster)), cluster.member(cluster.leader)
    leaving = tuple(
        Step("remove", (each.name,), "it is no longer declared; its volume is kept")
        for each in cluster.members
        if not each.declared
    )
    alone = leader is not None and any(step.members == (leader.name,) for step in updates)
    # A standby that leaves does not get the larger values any more: its leader would be restarted for nothing.
    first = leader is not None and alone and leader.declared and leader.grows()
    yield from (*leaving, *updates) if first else (*updates, *leaving)


def _starts(cluster: Cluster) -> Iterator[Step]:
    """The last leader first: it has all WAL, and its lease is free: another could take it without the last of that."""
    stopped = [each.name for each in _declared(cluster) if not each.running]
    first = cluster.last_leader if cluster.last_leader in stopped else ""
    if first:
        yield Step("start", (first,), "it led when the cluster was shut down", repairs=True)
    if rest := tuple(name for name in stopped if name != first):
        yield Step("start", rest, "they are stopped", repairs=cluster.member(cluster.last_leader) is None)


def _repairs(cluster: Cluster) -> Iterator[Step]:
    """Broken members that the change itself may heal: one at a time while somebody leads."""
    broken = [each for each in cluster.members if each.broken]
    waiting = [each for each in broken if each.declared and (each.terminating or not each.outdated)]
    for each in broken:
        if not each.declared and each.name != cluster.leader:
            yield Step("remove", (each.name,), f"it is no longer declared, and is not ready ({each.state})",
                       repairs=True)  # fmt: skip
        elif each.declared and each.outdated and each.present and not each.terminating:
            alone = each.name == cluster.leader and not _successors(cluster, each)
            if each.name != cluster.leader or alone:
                yield Step("replace", (each.name,), f"it is not ready ({each.state}), and its pod is of an earlier "
                           "template", repairs=not (cluster.leader and waiting))  # fmt: skip


def _updates(cluster: Cluster) -> Iterator[Step]:
    if cluster.follows:
        # What the remote primary runs with is the least here, whatever is declared: no restart changes that.
        cluster = replace(cluster, members=tuple(each.without(each.shrinks()) for each in cluster.members))
    leader = cluster.member(cluster.leader)
    shrinking = leader.shrinks() if leader is not None else []
    if leader is not None and shrinking and leader.declared:
        text = f"{', '.join(shrinking)} can become smaller on standbys only after it has on the primary"
        yield Step("restart", (leader.name,), text, FIGURES["restart"])
        leader = leader.without(shrinking)
    elif shrinking:  # its successor does it first
        cluster = replace(cluster, members=tuple(each.without(shrinking) for each in cluster.members))
    for each in sorted(_declared(cluster), key=lambda each: (each.name in cluster.synchronous.members, each.name)):
        if each.name != cluster.leader and each.running:
            yield from _update(each)
    why = "" if leader is None else _why(leader) if leader.declared else "it is no longer declared"
    if leader is None or not why:
        return
    anew, targets = leader.outdated or leader.resized_by_start, _successors(cluster, leader)
    if targets:
        yield Step("switchover", (leader.name, targets[0].name), why, FIGURES["switchover"])
        if leader.declared and anew:  # else it has been restarted by becoming a standby
            yield from _update(leader)
    elif leader.declared:
        yield from _update(leader, FIGURES["replace" if anew else "restart"])


def _update(member: Member, seconds: float = 0.0) -> Iterator[Step]:
    if _why(member) and not member.terminating:
        kind = "replace" if member.outdated or member.resized_by_start else "restart"
        yield Step(kind, (member.name,), _why(member), seconds)


def _why(member: Member) -> str:
    """What waits for a restart of this member; empty when nothing does."""
    reasons = []
    if member.outdated:
        reasons.append("its pod is of an earlier template")
    if member.resized_by_start:
        reasons.append("its volume grows when its pod starts anew")
    if member.pending:
        reasons.append(f"a restart brings {', '.join(sorted(member.pending))} into force")
    return "; ".join(reasons)


def _successors(cluster: Cluster, leader: Member) -> list[Member]:
    """Who can take over for good, best first: recorded candidates, of them those in the synchronous set."""
    able = [each for each in _declared(cluster) if each.name != leader.name and each.running and each.may_lead]

    def rank(member: Member) -> tuple[bool, bool, bool, str]:
        known = member.name in cluster.candidates
        return not known, not member.ready, member.name not in cluster.synchronous.members, member.name

    coming = [each for each in able if not each.broken or each.outdated or each.terminating or not each.present]
    return sorted(coming, key=rank)


def _stops(cluster: Cluster) -> Iterator[Step]:
    """Replicas, then the leader: its shutdown is clean, it has all WAL, and it releases the lease (S7).

    Where commits wait for a synchronous standby, the last ones stop together with the leader.
    """
    running = [each.name for each in cluster.members if each.running]
    needed = cluster.synchronous.members if cluster.synchronous.strict else ()
    last = tuple(name for name in running if name in needed and name != cluster.leader)
    replicas = tuple(name for name in running if name not in last and name != cluster.leader)
    if replicas:
        yield Step("stop", replicas, "replicas stop before their leader", repairs=True)
    last += tuple(name for name in running if name == cluster.leader)
    if last:
        yield Step("stop", last, "no writes until the cluster is started again", None, repairs=not replicas)


def _stopping(cluster: Cluster) -> Iterator[str]:
    for each in cluster.members:
        if each.present and not each.running:
            yield f"{each.name} is still there ({each.state})"


# What it waits for.


def _unread(cluster: Cluster) -> Iterator[str]:
    """Without this it is not known what there is to do."""
    for each in _declared(cluster):
        if each.present and not each.template_seen:
            yield f"Kubernetes has not counted the newest template of {each.name} yet"
        if not each.ready:
            continue
        if not each.settled:
            yield f"{each.name} has not read the static settings yet"
        if not each.configured and not each.refused:
            yield f"{each.name} does not have the configuration in force yet"
        if each.resizing and not each.resized_by_start:
            yield f"the volume of {each.name} is not as large as declared yet ({each.resizing})"


def _ending(cluster: Cluster) -> Iterator[str]:
    """Pods whose deletion is under way: asked for again nothing would be gained, and what they wait for is not done."""
    for each in _declared(cluster):
        if each.terminating and each.running and _why(each):
            yield f"{each.name} is terminating"


def _unwell(cluster: Cluster) -> Iterator[str]:
    if not cluster.leader:
        yield "no member leads"
    alone = {step.members[0] for step in _repairs(cluster) if step.repairs}
    for each in cluster.members:
        if not each.running or each.name in alone:
            continue
        if each.terminating:
            yield f"{each.name} is terminating"
        elif each.broken:
            yield f"{each.name} is not ready ({each.state})"
        elif each.name != cluster.leader and each.declared and not each.streaming:
            yield f"{each.name} does not stream from the leader"
        elif _may_follow(cluster, each) and each.name not in cluster.candidates:
            yield f"{each.name} may not take over yet"
    yield from cluster.requests
    able = sum(each.may_vote and each.streaming and each.name != cluster.leader for each in _declared(cluster))
    missing = min(cluster.synchronous.count, able) - len(cluster.synchronous.members)
    if cluster.leader and missing > 0:
        yield f"the synchronous set lacks {missing} of {cluster.synchronous.count}"


def _may_follow(cluster: Cluster, member: Member) -> bool:
    return bool(cluster.leader) and member.declared and member.may_lead and member.name != cluster.leader


# What cannot be done.


def _refusals(cluster: Cluster, steps: Sequence[Step]) -> Iterator[str]:
    if cluster.paused and any(step.kind != "settings" for step in steps):
        yield "the cluster is in maintenance, in which nothing is restarted: pgherd resume ends it"
    leader, last = cluster.member(cluster.leader), cluster.member(cluster.last_leader)
    starts = any(step.kind == "start" for step in steps)
    if starts and not cluster.leader and last is not None and not last.declared and not last.running:
        yield (
            f"{last.name} led when the cluster was shut down, has the last of its WAL, and is no longer declared: "
            "declare it again, start the cluster, then take it out"
        )
    if leader is not None and not leader.declared and not _successors(cluster, leader):
        yield f"{leader.name} is the primary, is no longer declared, and no declared member may lead"
    removed = [each.name for each in cluster.members if not each.declared]
    left = [each for each in _declared(cluster) if each.name != cluster.leader and each.may_vote]
    if removed and cluster.synchronous.strict and not left:
        yield (
            f"{', '.join(removed)}: without it no synchronous standby is left, and with "
            "postgres_synchronous_mode_strict commits would wait for ever; keep a second member, or turn it off first"
        )
