"""This member holds the lease of a standby cluster: it follows the remote primary, and is not promoted.

    comes to be   from nothing: a copy of the remote primary (bootstrap); from a primary: a clean shutdown (demote)
    follows       running, compared with the remote primary before it streams; published as standby leader
    ends          `standby_cluster` is gone from the configuration: holder.promote

The lease is held, proved and lost as any other (S1, S4). Nobody is promoted here, so the latest timeline is asked for
not when the lease is taken, but before a promotion (S2). Every step is found again from what is observed, so an agent
that starts anew goes on where the last one ended.
"""

from __future__ import annotations

import msgspec

from pgherd.decide import compare, follower, holder, space, succession, synchronous
from pgherd.decide.against import Against, Found, against
from pgherd.model.actions import (
    Action,
    Clone,
    Decision,
    Follow,
    Initialise,
    Kill,
    PollPeers,
    Reason,
    Require,
    Rewind,
    Start,
    Stop,
    WriteLease,
)
from pgherd.model.knowledge import WriteKind
from pgherd.model.lease import Holder, Lease
from pgherd.model.server import Data, Process
from pgherd.model.standby import REMOTE, StandbyCluster
from pgherd.model.view import TaskKind, View, again

WORD = 3.0
"""Seconds that a start waits for the remote primary's word; then it is one of a standby of nobody, for reads."""


def decide(view: View, now: float) -> Decision:
    """Whoever holds the lease, of a cluster of either kind."""
    record = view.knowledge.record
    assert record is not None
    wanted = view.configuration.standby_cluster
    if wanted is None or compare.stranger(view) or compare.misplaced(view, record):
        return holder.decide(view, now)
    if compare.identified(view) is None:
        return bootstrap(view, record, wanted, now)
    return lead(view, record, wanted, now)


def bootstrap(view: View, record: Lease, wanted: StandbyCluster, now: float) -> Decision:
    """As for any new cluster (S7), but that a copy of the remote primary takes the place of initdb."""
    keep = holder.renewal(view, record, now, proved=True)
    if view.task is not None and view.task.kind is TaskKind.CLONE:
        return Decision(keep, Reason("cloning", f"copying {REMOTE}, {wanted.shown}"), holder.soon(view, now))
    base = holder.bootstrap(view, record, now)
    if not any(isinstance(action, Initialise) for action in base.actions):
        return base
    return copied(view, wanted, "a new standby cluster", keep, now, replace=False)


def lead(view: View, record: Lease, wanted: StandbyCluster, now: float) -> Decision:
    """Every state that the own PostgreSQL can be in."""
    server, keep = view.server, holder.renewal(view, record, now, proved=True)
    if server.primary:
        return demote(view, record, wanted, now)
    if view.task is not None:
        return holder.busy(view, record, now)
    if server.process is Process.CRASHED:
        return Decision((Kill(), *keep), Reason("crashed", "PostgreSQL died"), holder.soon(view, now))
    if server.data is Data.HALF_REWOUND:
        return replaced(view, record, wanted, "pg_rewind did not end", keep, now)
    if server.data is not Data.PRESENT:
        text = f"the volume holds no usable data ({server.data.value})"
        return succession.give_up(view, record, "data-lost", text)
    if server.process in (Process.STARTING, Process.STOPPING):
        return restless(view, record, now)
    if server.process is Process.RUNNING:
        return follow(view, record, wanted, now)
    return stopped(view, record, wanted, now)


def demote(view: View, record: Lease, wanted: StandbyCluster, now: float) -> Decision:
    """A primary of a cluster that is to follow another: stopped cleanly, so that the other has all of its WAL."""
    stops = view.task is not None and view.task.kind in (TaskKind.STOP, TaskKind.KILL, TaskKind.RESTART)
    if view.server.promoting or stops or view.server.process is not Process.RUNNING:
        return holder.busy(view, record, now) if view.task is not None else restless(view, record, now)
    base = holder.primary(view, record, now)
    if base.reason.code not in holder.LEADS:
        return base
    found = against(view)
    if found.verdict is Against.FOREIGN:
        return msgspec.structs.replace(base, reason=Reason("remote-system-identifier", f"not demoted: {found.text}"))
    if view.task is not None:
        return base
    stop = Stop(view.configuration.primary_stop_timeout, checkpoint=True)
    text = f"standby_cluster is configured: PostgreSQL stops, to follow {wanted.shown}"
    return Decision((*base.actions, stop), Reason("demote-cluster", text), now + 0.2)


def demoted(view: View, record: Lease) -> WriteLease:
    """Its own lease, taken anew: nobody writes here any more, and the receipt says since when."""
    assert record.holder is not None and view.server.position is not None
    mark = msgspec.structs.replace(record.holder, standby=True, timeline=view.server.position.timeline)
    return holder.retake(view, msgspec.structs.replace(record, holder=mark))


def restless(view: View, record: Lease, now: float) -> Decision:
    """It replays, or recovers. Given up only to somebody who is there: nobody waits for it to write."""
    since = view.restless_since if view.restless_since is not None else now
    if now - since > view.configuration.primary_start_timeout and succession.successor(view, record) is not None:
        return holder.restless(view, record, now)
    state = view.server.process.value
    keep = holder.renewal(view, record, now, proved=True)
    return Decision(keep, Reason(state, f"PostgreSQL is {state} since {now - since:.1f} s"), holder.soon(view, now))


def stopped(view: View, record: Lease, wanted: StandbyCluster, now: float) -> Decision:
    """Compared with the remote primary before it starts as its standby (S5)."""
    server, keep = view.server, holder.renewal(view, record, now, proved=True)
    if server.position is None:
        return Decision(keep, Reason("measuring", "finding the end of the WAL on disk"), now + 0.2)
    if record.holder is not None and not record.holder.standby:
        text = f"PostgreSQL is stopped at {server.position}: a standby of {wanted.shown} from now on"
        return Decision(() if view.writing else (demoted(view, record),), Reason("demoted", text), now + 0.2)
    if space.full(server) and space.roomy(view, record):
        return succession.give_up(view, record, "volume-full", space.said(server, better=True))
    found = against(view)
    still = now - (view.stalled_since if view.stalled_since is not None else now)
    if found.verdict is Against.UNKNOWN and not found.asked and still < WORD:
        return Decision(keep, Reason("remote-asked", f"before a start: {found.text}"), now + 0.2)
    if found.verdict is Against.DIVERGED:
        return rejoin(view, record, wanted, found.text, keep, now)
    failed = holder.tried(view, TaskKind.START)
    if len(failed) >= follower.STARTS:
        if succession.successor(view, record) is not None:
            text = f"PostgreSQL does not start: {failed[-1].error}"
            return succession.give_up(view, record, "restart-failed", text)
        if wanted.host:
            return replaced(view, record, wanted, f"PostgreSQL does not start: {failed[-1].error}", keep, now)
    if failed and now < again(failed):
        text = f"trying again: {failed[-1].error}"
        return Decision(keep, Reason("start-failed", text), min(holder.soon(view, now), again(failed)))
    source = whom(view, wanted, found.verdict)
    text = f"starting as a standby of {wanted.shown}" if source else f"starting as a standby of nobody: {found.text}"
    return Decision((Start(writable=False, source=source), *keep), Reason("start", text), holder.soon(view, now))


def whom(view: View, wanted: StandbyCluster, verdict: Against) -> str | None:
    """Whom to follow: the remote primary once it was compared, or without its word where an archive has its WAL and
    nothing was ever written here."""
    if verdict in (Against.FITS, Against.NO_HOST):
        return REMOTE
    if verdict is Against.UNKNOWN and (view.server.following == REMOTE or wanted.restore_command):
        return None if view.server.was_primary else REMOTE
    return None


def left_behind(view: View, record: Lease, why: str, now: float) -> Decision | None:
    """Before the own data are replaced the lease says so: what was written and acknowledged here, and the remote
    primary lacks, counts for no promotion any more (S2, S3). None once that is confirmed."""
    mark = record.holder
    assert mark is not None
    if mark.writable == 0 and record.sync is None:
        return None
    new = msgspec.structs.replace(mark, writable=0, highest=highest(mark))
    write = WriteLease(WriteKind.RENEW, msgspec.structs.replace(holder.fresh(view, record, now), holder=new, sync=None))
    text = f"{why}: the lease says first that the own line is left"
    return Decision(() if view.writing else (write,), Reason("line-left", text), now + 0.1)


def highest(mark: Holder) -> int:
    return max(mark.highest, mark.timeline, mark.writable)


def replaced(
    view: View, record: Lease, wanted: StandbyCluster, why: str, keep: tuple[Action, ...], now: float
) -> Decision:
    return left_behind(view, record, why, now) or copied(view, wanted, why, keep, now, replace=True)


def rejoin(
    view: View, record: Lease, wanted: StandbyCluster, why: str, keep: tuple[Action, ...], now: float
) -> Decision:
    """The ladder of every rejoin, against the remote primary (S5): each rung once, divergent WAL aside first."""
    left = left_behind(view, record, why, now)
    if left is not None:
        return left
    tried = [each for each in view.failures if (each.kind, each.target) == (TaskKind.REWIND, REMOTE)]
    if view.configuration.postgresql.use_pg_rewind and not tried:
        return Decision((Rewind(REMOTE), *keep), Reason("rewind", why), holder.soon(view, now))
    return copied(view, wanted, f"{why}; rewinding did not help", keep, now, replace=True)


def copied(
    view: View, wanted: StandbyCluster, why: str, keep: tuple[Action, ...], now: float, replace: bool
) -> Decision:
    """A copy of the remote primary, tried again after growing pauses: nobody else here has anything better."""
    if not wanted.host:
        text = f"{why}: standby_cluster names no host to copy from"
        return Decision(keep, Reason("remote-no-host", text), holder.soon(view, now))
    if replace and not view.configuration.allow_data_loss_reclone:
        text = f"{why}; cloning over it is not allowed (allow_data_loss_reclone)"
        return Decision(keep, Reason("clone-not-allowed", text), holder.soon(view, now))
    failed = [each for each in view.failures if (each.kind, each.target) == (TaskKind.CLONE, REMOTE)]
    if failed and now < again(failed):
        text = f"{why}; trying again: {failed[-1].error}"
        return Decision(keep, Reason("clone-failed", text), min(holder.soon(view, now), again(failed)))
    text = f"{why}: cloning from {REMOTE}, {wanted.shown}"
    return Decision((Clone(REMOTE, replace), *keep), Reason("clone", text), holder.soon(view, now))


def follow(view: View, record: Lease, wanted: StandbyCluster, now: float) -> Decision:
    """Running in recovery: published, renewed with a proof, and pointed at the remote primary."""
    server, found = view.server, against(view)
    if server.cramped:
        stop = Stop(view.configuration.primary_stop_timeout)
        keep = holder.renewal(view, record, now, proved=True)
        return Decision((stop, *keep), follower.cramped(view), holder.soon(view, now))
    if found.verdict is Against.DIVERGED:
        keep = holder.renewal(view, record, now, proved=True)
        stop = Stop(view.configuration.primary_stop_timeout)
        return Decision((stop, *keep), Reason("remote-diverged", f"{found.text}: stopping to rejoin"), now + 0.2)
    actions: tuple[Action, ...] = (Require(synchronous.idle(view, record)),)
    source = whom(view, wanted, found.verdict)
    if server.following != source:
        actions = (*actions, Follow(source))
    new = published(view, record)
    if new != record:
        write = () if view.writing else (WriteLease(WriteKind.RENEW, holder.fresh(view, new, now)),)
        text = f"follows {wanted.shown} on timeline {new.holder.timeline if new.holder else 0}: readers are sent here"
        return Decision((*write, *actions, PollPeers()), Reason("publish", text), now + 0.2)
    return renewed(view, record, wanted, found, actions, now)


def published(view: View, record: Lease) -> Lease:
    """The record as a standby leader's is. `writable`, against which a promotion is measured (S2), is its timeline once
    that is known to be the cluster's line: it contains the last one, or the remote primary sends it."""
    position, mark = view.server.position, record.holder
    assert position is not None and mark is not None
    follows = view.server.streaming and view.server.following == REMOTE
    known = follows or compare.outdated(record, position, view.server.history) is None
    new = msgspec.structs.replace(
        mark,
        standby=True,
        timeline=position.timeline,
        writable=position.timeline if known else mark.writable,
        highest=max(highest(mark), position.timeline),
    )
    # The set binds until what it acknowledged is the remote primary's (S3).
    return msgspec.structs.replace(record, address=view.address, holder=new, sync=None if follows else record.sync)


def renewed(
    view: View, record: Lease, wanted: StandbyCluster, found: Found, actions: tuple[Action, ...], now: float
) -> Decision:
    """Published: renewed while PostgreSQL proves that it answers (S4)."""
    held = view.knowledge.held
    assert held is not None
    sound = holder.healthy(view)
    write = holder.renewal(view, record, now, sound)
    changed = compare.candidates(view, record) != record.candidates and now >= held.t0 + 0.5
    pausing = view.configuration.pause and sound
    if (changed or pausing) and sound and not view.writing:
        new = holder.fresh(view, record, now)
        write = (WriteLease(WriteKind.RENEW, msgspec.structs.replace(new, pause=True) if pausing else new),)
    if pausing:
        return Decision((*write, *actions), Reason("pausing", "recording the pause in the lease"), now + 0.2)
    if (sick := holder.failing(view, actions, now)) is not None:
        return sick
    wake = holder.soon(view, now) if sound else now + 0.25
    return Decision((*write, *actions), said(view, wanted, found), wake)


def said(view: View, wanted: StandbyCluster, found: Found) -> Reason:
    if view.server.streaming and view.server.following == REMOTE:
        return Reason("standby-leader", f"standby leader with the lease; streams from {wanted.shown}")
    if found.verdict is Against.FOREIGN:
        return Reason("remote-system-identifier", f"standby leader with the lease; not followed: {found.text}")
    if found.verdict is Against.NO_HOST:
        return Reason("standby-leader", f"standby leader with the lease; replays from {wanted.shown}")
    text = found.text if found.verdict is Against.UNKNOWN else f"{wanted.shown} sends nothing yet"
    return Reason("remote-silent", f"standby leader with the lease; {text}")
