"""This member holds the lease."""

from __future__ import annotations

import msgspec

from pgherd.decide import compare, follower, slots, space, synchronous
from pgherd.decide.succession import give_up, successor
from pgherd.model.actions import (
    Action,
    Decision,
    Initialise,
    KeepPrimary,
    Kill,
    PollPeers,
    Promote,
    Prove,
    Reason,
    Require,
    SetInitialize,
    Start,
    Stop,
    WriteLease,
)
from pgherd.model.knowledge import WriteKind, renewed_at
from pgherd.model.lease import Lease
from pgherd.model.server import Data, Process
from pgherd.model.view import Failure, TaskKind, View


def decide(view: View, now: float) -> Decision:
    record = view.knowledge.record
    assert record is not None and view.knowledge.held is not None
    if compare.stranger(view):
        return give_up(view, record, "system-identifier", "this member's data belongs to another cluster (S6)")
    if compare.identified(view) is not None:
        return ordinary(view, record, now)
    identifier = view.server.system_identifier
    if view.initialize is not None or view.server.data is not Data.PRESENT or identifier is None:
        return bootstrap(view, record, now)
    # `initialize` was lost: recorded again from the data, while everything else goes on as ever.
    decision = ordinary(view, record, now)
    actions = (*decision.actions, SetInitialize(None, identifier))
    return msgspec.structs.replace(decision, actions=actions)


def ordinary(view: View, record: Lease, now: float) -> Decision:
    """The cluster has an identity, and this member's data is of it."""
    stops = view.task is not None and view.task.kind in (TaskKind.STOP, TaskKind.KILL, TaskKind.RESTART)
    if view.server.primary and not view.server.promoting and not stops:
        return primary(view, record, now)
    if view.task is not None:
        return busy(view, record, now)
    if view.server.process is Process.CRASHED:
        return Decision(
            (Kill(), *renewal(view, record, now, proved=True)), Reason("crashed", "PostgreSQL died"), soon(view, now)
        )
    if view.server.data is not Data.PRESENT:
        return give_up(view, record, "data-lost", f"the volume holds no usable data ({view.server.data.value})")
    if view.server.process in (Process.STARTING, Process.STOPPING):
        return restless(view, record, now)
    unpromoted = tried(view, TaskKind.PROMOTE)
    if unpromoted:
        # Killed and given up: starting again would promote again, and nobody else would get the lease.
        return give_up(view, record, "promote-failed", unpromoted[-1].error)
    if view.server.process is Process.RUNNING:
        return promote(view, record, now)
    return restart(view, record, now)


LEADS = frozenset(
    {
        "primary", "volume-full", "commits-wait", "standby-leader", "remote-silent", "remote-system-identifier",
        "configuration-stale",
    }
)  # fmt: skip
"""Reasons of a holder that is published and does what it is to do: it may be asked to hand over."""


def soon(view: View, now: float) -> float:
    assert view.knowledge.held is not None
    return max(view.knowledge.held.t0 + view.configuration.loop_wait, now + 0.05)


def fresh(view: View, record: Lease, now: float) -> Lease:
    """The record with what its holder keeps up to date; its own name, too, in case that a person edited it."""
    server = view.server
    assert record.holder is not None and view.knowledge.held is not None
    # While it stops its standbys stop streaming: who may take the lease is settled then.
    serves = (server.primary or record.holder.standby) and server.process is Process.RUNNING
    optime = server.position.lsn if serves and server.position else record.optime
    return msgspec.structs.replace(
        record, leader=view.member, ttl=view.configuration.ttl, optime=optime,
        candidates=compare.candidates(view, record) if serves else record.candidates,
        slots=slots.published(view, record), retain_slots=slots.retained(view, now), handover=None, released=None,
        pause=record.pause and view.knowledge.held.pause,
    )  # fmt: skip


def renewal(view: View, record: Lease, now: float, proved: bool) -> tuple[Action, ...]:
    """A renewal if it is due and PostgreSQL was proved to work since the last one (S4)."""
    held = view.knowledge.held
    assert held is not None
    due = now >= held.t0 + view.configuration.loop_wait
    if not due or not proved or view.writing:
        return ()
    return (WriteLease(WriteKind.RENEW, fresh(view, record, now)),)


def healthy(view: View) -> bool:
    held, health = view.knowledge.held, view.health
    assert held is not None
    return health is not None and health.alive and health.checked >= renewed_at(view.knowledge)


def failing(view: View, actions: tuple[Action, ...], now: float) -> Decision | None:
    """Instead of a renewal, when PostgreSQL was found not to work since the last one (S4)."""
    health = view.health
    if health is None or health.alive or health.checked < renewed_at(view.knowledge):
        return None
    return Decision(actions, Reason("unhealthy", f"not renewed: {health.reason}"), now + 0.25)


def primary(view: View, record: Lease, now: float) -> Decision:
    """Writable: publish, renew, keep."""
    held, server = view.knowledge.held, view.server
    assert held is not None and record.holder is not None and server.position is not None
    keep: tuple[Action, ...] = (KeepPrimary(),)
    plan = synchronous.plan(view, record, now)
    if plan.require is not None:
        keep = (*keep, Require(plan.require))
    timeline = server.position.timeline
    if timeline != record.holder.timeline:
        text = f"PostgreSQL is on timeline {timeline}, the lease says {record.holder.timeline}"
        return give_up(view, record, "wrong-timeline", text)
    mark = record.holder
    published = record.address == view.address and mark.writable == timeline and not mark.standby
    if not published and view.task is None:
        new = fresh(view, msgspec.structs.replace(record, sync=plan.sync), now)
        holder = msgspec.structs.replace(mark, writable=timeline, standby=False)
        new = msgspec.structs.replace(new, address=view.address, holder=holder)
        write: tuple[Action, ...] = () if view.writing else (WriteLease(WriteKind.RENEW, new),)
        return Decision(
            (*write, *keep, PollPeers()),
            Reason("publish", f"writable on timeline {timeline}: clients are sent here"),
            now + 0.2,
        )
    better = space.full(server) and bool(space.roomy(view, record))
    if view.task is not None and view.task.kind is TaskKind.STOP:
        return busy(view, record, now)
    if better and view.task is None:
        stop: tuple[Action, ...] = (Stop(view.configuration.primary_stop_timeout), PollPeers())
        return Decision(stop, Reason("volume-full", space.said(server, better)), now + 0.2)
    sound = healthy(view)
    if view.configuration.pause and sound and view.task is None:
        new = msgspec.structs.replace(fresh(view, record, now), pause=True)
        write = () if view.writing else (WriteLease(WriteKind.RENEW, new),)
        return Decision((*write, *keep), Reason("pausing", "recording the pause in the lease"), now + 0.2)
    changed = compare.candidates(view, record) != record.candidates and now >= held.t0 + 0.5
    planned = msgspec.structs.replace(record, sync=plan.sync)
    write = renewal(view, planned, now, sound)
    if (changed or planned != record) and sound and not write and not view.writing:
        write = (WriteLease(WriteKind.RENEW, fresh(view, planned, now)),)
    if planned != record and not sound:
        keep = (*keep, Prove())
    if plan.expects:
        keep = (*keep, PollPeers())
    if (sick := failing(view, keep, now)) is not None:
        return sick
    wake = soon(view, now) if sound and not plan.expects else now + 0.25
    return Decision((*write, *keep), leads(view, better), min([wake, *synchronous.patience_ends(view, record, now)]))


def leads(view: View, better: bool) -> Reason:
    """What is worth saying of a primary that works."""
    if space.full(view.server):
        return Reason("volume-full", space.said(view.server, better))
    if waited_for := synchronous.waited_for(view):
        return Reason("commits-wait", f"leader with the lease; commits wait for {waited_for}")
    return Reason("primary", "leader with the lease")


def bootstrap(view: View, record: Lease, now: float) -> Decision:
    """A new cluster, or one whose identity is to be recorded again from data (S7)."""
    mark = f"bootstrapping:{record.epoch}"
    keep = renewal(view, record, now, proved=True)
    server = view.server
    wake = soon(view, now)
    if server.data is Data.PRESENT and server.system_identifier:
        action = SetInitialize(view.initialize, server.system_identifier)
        return Decision(
            (action, *keep),
            Reason("identify", f"recording system identifier {server.system_identifier}"),
            min(wake, now + 0.3),
        )
    if server.data is Data.BROKEN:
        return give_up(
            view, record, "data-broken", "the data directory cannot be read; it is never initialised over (S7)"
        )
    if server.data is Data.HALF_REWOUND or (record.holder is not None and record.holder.writable > 0):
        return give_up(view, record, "data-lost", "this cluster had data, and this volume holds none to use (S7)")
    if view.initialize != mark:
        return Decision(
            (SetInitialize(view.initialize, mark), *keep),
            Reason("bootstrap", "marking that this member initialises"),
            min(wake, now + 0.3),
        )
    failed = tried(view, TaskKind.INITIALISE)
    if failed and view.task is None:
        return give_up(view, record, "initialise-failed", failed[-1].error)
    start: tuple[Action, ...] = (Initialise(),) if view.task is None else ()
    return Decision((*start, *keep), Reason("bootstrap", "initialising a new cluster"), wake)


def tried(view: View, kind: TaskKind) -> list[Failure]:
    """What failed since this member holds the present epoch: an earlier tenure's failures are no reason any more."""
    since = max(view.knowledge.held_from, view.knowledge.resumed)
    return [failure for failure in view.failures if failure.kind is kind and failure.at >= since]


def restless(view: View, record: Lease, now: float) -> Decision:
    """A living postmaster that takes no connections yet, or again: it recovers from a backend's crash, or replays.

    Killing it would lose what is not replicated; the fence's deadline holds whatever it does.
    """
    since = max(view.restless_since if view.restless_since is not None else now, view.knowledge.resumed)
    state = view.server.process.value
    if now - since > patience(view, record):
        return give_up(view, record, "start-timeout", f"PostgreSQL is {state} since {now - since:.0f} s")
    keep = renewal(view, record, now, proved=True)
    return Decision(keep, Reason(state, f"PostgreSQL is {state} since {now - since:.1f} s"), soon(view, now))


def patience(view: View, record: Lease) -> float:
    """Seconds that PostgreSQL is given to start. None at all is for where somebody can take over."""
    configuration = view.configuration
    at_once = configuration.primary_start_timeout == 0 and successor(view, record) is not None
    return 0.0 if at_once else configuration.start_limit


HOUR = 3600.0


def within_bound(view: View, now: float) -> bool:
    """Whether the long action that runs is within its own time limit (runtime.tasks enforces it)."""
    task, configuration = view.task, view.configuration
    stop = configuration.primary_stop_timeout + 30
    limits = {
        TaskKind.STOP: stop,
        TaskKind.RESTART: stop + configuration.start_limit,
        TaskKind.PROMOTE: configuration.promotion_limit + 10,
        # Of a standby leader.
        TaskKind.CLONE: 12 * HOUR,
        TaskKind.REWIND: 2 * HOUR,
    }
    return task is not None and now - task.started < limits.get(task.kind, configuration.start_limit + 10)


def busy(view: View, record: Lease, now: float) -> Decision:
    """A long action runs: alive within its own bound counts as health."""
    task = view.task
    assert task is not None
    return Decision(
        renewal(view, record, now, within_bound(view, now)),
        Reason(task.kind.value, f"{task.kind.value} since {now - task.started:.1f} s"),
        soon(view, now),
    )


def promote(view: View, record: Lease, now: float) -> Decision:
    """Running in recovery and holding: S2 was settled when the lease was taken; nobody else can have it now."""
    assert record.holder is not None
    keep = renewal(view, record, now, proved=True)
    if record.holder.standby and view.server.position is not None:
        stale = compare.misplaced(view, record)
        return unread(view, record, stale, now) if stale else promote_cluster(view, record, now)
    if not view.armed:
        return Decision(keep, Reason("unarmed", "waiting for the fence's deadline before promoting"), now + 0.05)
    if view.server.cramped:  # PostgreSQL would not be promoted
        stop = Stop(view.configuration.primary_stop_timeout)
        return Decision((stop, *keep), follower.cramped(view), soon(view, now))
    need = synchronous.needed(view, record)
    require = Require(need)
    if not synchronous.enforced(view, record):
        names = ", ".join(each.member for each in need.standbys)
        text = f"waiting until no commit is acknowledged without {names}, before promoting (S3)"
        return Decision((require, *keep), Reason("enforcing", text), now + 0.05)
    return Decision(
        (require, Promote(record.holder.timeline), *keep),
        Reason("promote", f"promoting onto timeline {record.holder.timeline}"),
        soon(view, now),
    )


def unread(view: View, record: Lease, why: str, now: float) -> Decision:
    """A standby leader that cannot know whom to follow: it serves reads, as long as it proves that it does (S4)."""
    if (sick := failing(view, (), now)) is not None:
        return sick
    keep = renewal(view, record, now, healthy(view))
    return Decision(keep, Reason("configuration-stale", why), soon(view, now) if healthy(view) else now + 0.25)


def promote_cluster(view: View, record: Lease, now: float) -> Decision:
    """A standby leader whose `standby_cluster` is gone: the lease names a new timeline before anything is promoted.

    That it has the cluster's latest line was not asked when it took the lease: now it is (S2).
    """
    assert record.holder is not None and view.server.position is not None
    why = compare.outdated(record, view.server.position, view.server.history)
    if why is not None:
        return give_up(view, record, "outdated", f"not promoted: {why}")
    mark = msgspec.structs.replace(record.holder, timeline=compare.next_timeline(view, record), standby=False)
    text = f"the cluster is no standby any more: promoting {view.member} onto timeline {mark.timeline}"
    write: tuple[Action, ...] = (retake(view, msgspec.structs.replace(record, holder=mark)),)
    return Decision(() if view.writing else write, Reason("promote-cluster", text), now + 0.1)


def retake(view: View, new: Lease) -> WriteLease:
    """The holder takes its own lease under another epoch, since what it is changes: between a primary and a standby
    leader. Clients are sent nowhere meanwhile; whoever could take the lease, still can."""
    record = msgspec.structs.replace(
        new, leader=view.member, epoch=new.epoch + 1, ttl=view.configuration.ttl, address=None, handover=None,
        released=None,
    )  # fmt: skip
    return WriteLease(WriteKind.TAKE, record)


def restart(view: View, record: Lease, now: float) -> Decision:
    """Stopped: the own timeline goes on in place; a standby that stopped before its promotion starts again as one."""
    server = view.server
    assert record.holder is not None
    keep = renewal(view, record, now, proved=True)
    if server.position is None:
        return Decision(keep, Reason("measuring", "finding the end of the WAL on disk"), now + 0.2)
    since = max(view.stopped_since if view.stopped_since is not None else now, view.knowledge.held_from)
    since = max(since, view.knowledge.resumed)
    roomy = space.roomy(view, record) if space.full(server) else frozenset()
    target = successor(view, record, roomy)
    if target is not None:
        return give_up(view, record, "volume-full", space.said(server, better=True), target)
    if roomy and server.clean and now - since < space.CATCHES_UP:
        text = f"{space.said(server, better=True)}, once it has everything"
        return Decision((*keep, PollPeers()), Reason("volume-full", text), now + 0.2)
    bound = patience(view, record)
    failed = tried(view, TaskKind.START)
    there = successor(view, record)
    if there is not None and record.sync is not None:
        text = f"PostgreSQL died; {there} has every acknowledged commit and takes over (S3)"
        return give_up(view, record, "crashed-handover", text)
    if bound == 0 or now - since > bound or len(failed) >= 3:
        return give_up(
            view,
            record,
            "restart-failed",
            f"PostgreSQL does not start: {failed[-1].error if failed else 'no time is allowed for it'}",
        )
    if not view.armed:
        return Decision(keep, Reason("unarmed", "waiting for the fence's deadline before starting"), now + 0.05)
    # A demoted primary that nobody asked back: it starts as what its lease says (S2).
    led = not record.holder.standby or compare.misplaced(view, record) is None
    in_place = led and server.was_primary and server.position.timeline == record.holder.timeline
    if led and not in_place and record.holder.writable == 0 and record.holder.timeline <= server.position.timeline:
        text = f"the new cluster's data are on timeline {server.position.timeline}: taking the lease for a later one"
        return give_up(view, record, "bootstrap-promotes", text)
    if in_place:
        return Decision(
            (Start(writable=True), *keep),
            Reason("restart-in-place", "starting PostgreSQL as primary again"),
            soon(view, now),
        )
    return Decision(
        (Start(writable=False), *keep),
        Reason("start-to-promote", "starting as a standby before promoting"),
        soon(view, now),
    )
