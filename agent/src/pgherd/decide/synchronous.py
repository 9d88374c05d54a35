"""Synchronous replication: the next one step of lease or setting, and who may be elected (ha-protocol §6, S3).

The invariant, true between any two steps and at every crash, for every outcome of a write that is not answered yet:
whoever acknowledges a commit, by any value of the setting that a process of the primary may still go by, there are at
least `votes` of the lease's members among them (Rule.covers); and what was acknowledged before has as many. So members
- votes + 1 of them have between them every acknowledged commit: the set that acknowledges meets each that elects.
In mode on `votes` is all, and one member is enough.

    leave   lease without it, confirmed     then the setting without it
    enter   setting with it, proved         then it has the flush position of that proof   then lease with it
    on      lease with an empty set (only the primary may lead)   then enter
    off     lease without a set             then an empty setting
    quorum  lease with more members or fewer votes (harder to elect) where the next setting needs it, confirmed
            then the setting, proved        then `votes` of its members have that position, and the lease says the same
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from pgherd.decide import compare, upstream
from pgherd.model.lease import Lease
from pgherd.model.member import MemberStatus, Peer
from pgherd.model.position import Position
from pgherd.model.server import Process
from pgherd.model.synchronous import ALONE, WAIT, Rule, Sender, Standby, Synchronous
from pgherd.model.tags import never_leads, on
from pgherd.model.view import View

PATIENCE = 1.0
"""Seconds without a WAL sender after which a member leaves the set: commits wait for it until then."""
LONGEST_LEAVE = 10.0
"""Seconds that a replica which was told to stop waits at most until it is out of the set."""


# Who may be elected.


def standby(member: str, incarnation: str | None) -> Standby:
    return Standby(member, incarnation or "")


def barred(record: Lease, who: Standby, position: Position | None) -> str | None:
    """Why the recorded set forbids this member to take the lease; None when it does not (S3)."""
    if record.sync is None or record.sync.has(who):
        return None
    if shut_down_for(record, who, position):
        return None
    names = ", ".join(each.member for each in (record.sync.primary, *record.sync.members))
    return f"only {names} can have every acknowledged commit (synchronous_mode, S3)"


def shut_down_for(record: Lease, who: Standby, position: Position | None) -> bool:
    """Handed over after a clean shutdown, and this member has all of it: nothing was acknowledged later."""
    given = record.handover
    named = given and (given.to, given.incarnation, given.epoch) == (who.member, who.incarnation, record.epoch)
    return bool(given and named and given.lsn > 0 and position is not None and position.lsn >= given.lsn)


def complete(record: Lease, who: Standby) -> bool:
    """Whether a mode is on and this member has every acknowledged commit: its lag is of no account."""
    return record.sync is not None and record.sync.has(who)


def inherited(view: View, record: Lease) -> Synchronous | None:
    """The set in the write that takes the lease: the taker's setting enforces it before the taker promotes."""
    if record.sync is None or view.server.incarnation is None:
        return record.sync
    me = standby(view.member, view.server.incarnation)
    members = tuple(each for each in record.sync.members if each.member != view.member)
    return made(view, me, members, record.sync.votes - (len(record.sync.members) - len(members)))


def made(view: View, me: Standby, members: tuple[Standby, ...], votes: int) -> Synchronous:
    """The value for the lease. Without a vote that is sure nobody but the primary can be elected."""
    if votes <= 0:
        members, votes = (), 0
    mode: Literal["on", "quorum"] = "quorum" if view.configuration.quorum or votes < len(members) else "on"
    return Synchronous(mode, me, tuple(sorted(members)), votes)


def early_takeover_delay(view: View, record: Lease) -> float:
    """Nobody waits for a dead primary's return where nothing acknowledged is lost without it."""
    synchronous = record.sync is not None and standby(view.member, view.server.incarnation) in record.sync.members
    return 0.0 if synchronous else view.configuration.early_takeover_delay


def by_votes(record: Lease, who: Standby) -> bool:
    """Whether this voter's own data are not enough to be elected: others must be heard, too."""
    sync = record.sync
    return sync is not None and who in sync.members and sync.reports > 1 and who != sync.primary


def suffices(record: Lease, who: Standby) -> bool:
    """Whether this member may be given the lease by name: of voters nobody knows which one has the most."""
    return barred(record, who, None) is None and not by_votes(record, who)


def cuts_off(view: View, record: Lease) -> bool:
    """The lease may be taken and this voter still has, or may get, a WAL receiver: its position is no report yet."""
    who = standby(view.member, view.server.incarnation)
    runs = view.server.process is Process.RUNNING and not view.server.primary and view.task is None
    if not runs or shut_down_for(record, who, view.server.position):
        return False
    return by_votes(record, who) and view.cut_off != record.nonce


def short(view: View, record: Lease, since: float) -> int:
    """How many votes this candidate lacks: of voters that are cut off and have nothing that it does not have."""
    me, own = standby(view.member, view.server.incarnation), view.server.position
    if record.sync is None or own is None or not by_votes(record, me):
        return 0
    if shut_down_for(record, me, own):
        return 0
    if not record.nonce:
        return record.sync.reports  # a person's edit: nobody can be cut off from nobody
    votes = int(view.cut_off == record.nonce)
    for status in compare.answers(view, since):
        voter = standby(status.member, status.incarnation) in record.sync.members and status.cut_off == record.nonce
        votes += bool(voter and status.position is not None and status.position <= own)
    return max(0, record.sync.reports - votes)


# Before the promotion.


def needed(view: View, record: Lease) -> Rule:
    """By which commits must be acknowledged from the promotion on."""
    if record.sync is not None and record.sync.members:
        return Rule(record.sync.members, record.sync.votes)
    waits = record.sync is not None and view.configuration.synchronous and view.configuration.synchronous_mode_strict
    return WAIT if waits else ALONE


def enforced(view: View, record: Lease) -> bool:
    """Whether the own setting was proved to hold the inherited set: only then may this member promote."""
    need = needed(view, record)
    return need == ALONE or (view.enforced is not None and view.enforced.rule.covers(need.standbys, need.votes))


def idle(view: View, record: Lease) -> Rule:
    """A standby's setting: never empty where a mode is on, so that a promotion finds it in force everywhere."""
    return WAIT if view.configuration.synchronous or record.sync is not None else ALONE


def leaving(view: View, record: Lease, now: float) -> bool:
    """Whether a replica that was told to stop is still in the set: stopped now, it would stop commits, too."""
    if record.sync is None or standby(view.member, view.server.incarnation) not in record.sync.members:
        return False
    bound = min(2 * view.configuration.loop_wait, LONGEST_LEAVE)
    return view.server.process is Process.RUNNING and view.server.streaming and now < view.told_to_stop + bound


# On the primary.


class Plan(msgspec.Struct, frozen=True):
    sync: Synchronous | None
    """What the lease should say now; unlike the record: a write is due."""
    require: Rule | None
    """What the setting should be now; None: leave it as it is until the lease is known to say so."""
    expects: bool = False
    """A member is about to enter: its own words are wanted soon."""


def plan(view: View, record: Lease, now: float) -> Plan:
    """The next step; from any state, so that an interrupted change goes on wherever it was left."""
    # While a write may still succeed, its set may be the one that elects: the setting holds both (S3).
    pending = view.writing or bool(view.knowledge.unanswered)
    if not view.configuration.commits_wait:
        if record.sync is not None and not view.configuration_read:
            return Plan(record.sync, None)  # its end was not asked for: nobody could read what was
        return Plan(None, None if pending or record.sync is not None else ALONE)
    wanted = target(view, record, now)
    before = record.sync or Synchronous("on", standby(view.member, view.server.incarnation))
    members, votes = next_set(view, before, wanted)
    sync = made(view, standby(view.member, view.server.incarnation), members, votes)
    expects = (sync.members, sync.votes) != (wanted.standbys, wanted.votes)
    if pending or not wanted.covers(before.members, before.votes):
        return Plan(sync, None, expects)
    waits = view.configuration.synchronous_mode_strict and not wanted.standbys
    return Plan(sync, WAIT if waits else wanted, expects)


def next_set(view: View, before: Synchronous, wanted: Rule) -> tuple[tuple[Standby, ...], int]:
    """Members and votes that the lease should have now: on the way to what is wanted, and true already."""
    kept = tuple(each for each in before.members if each in wanted.standbys)
    entered = tuple(each for each in wanted.standbys if has_entered(view, each))
    if wanted.votes == len(wanted.standbys) and before.votes == len(before.members):
        members = tuple({*kept, *entered})
        proved = view.enforced is not None and view.enforced.rule.covers(members, len(members))
        return (members, len(members)) if proved else (kept, len(kept))
    if view.enforced is not None and view.enforced.rule == wanted and len(entered) >= wanted.votes:
        return wanted.standbys, wanted.votes
    sure = before.votes - (len(before.members) - len(kept))
    widened = tuple({*before.members, *wanted.standbys}), min(before.votes, wanted.votes)
    ways = [(before.members, before.votes), (kept, sure), widened]
    # The last one always does: it asks of the setting no more than this will give.
    return next(way for way in ways if wanted.covers(*way) and (way[1] > 0 or way is widened or way[0] == ()))


def has_entered(view: View, who: Standby) -> bool:
    """Every commit acknowledged from now on counts it, and it has flushed what was acknowledged before that."""
    proof, status = view.enforced, compare.status_of(view, who.member)
    if proof is None or who not in proof.rule.standbys or status is None or status.position is None:
        return False
    return streams(view, status) and status.incarnation == who.incarnation and status.position.lsn >= proof.flushed


def streams(view: View, status: MemberStatus) -> bool:
    own = view.server.position
    return own is not None and status.streaming_from == view.member and status.receiver_timeline == own.timeline


def target(view: View, record: Lease, now: float) -> Rule:
    """What the setting should say: the best ones, and in mode on who is to be replaced until its successor is in."""
    recorded = record.sync.members if record.sync else ()
    ranked, count = fit(view, record, now), view.configuration.synchronous_node_count
    if not ranked and view.configuration.synchronous_mode_strict:
        return Rule(recorded, record.sync.votes if record.sync else 0)  # commits wait for them
    if view.configuration.quorum:
        staying = [each for each in ranked if not upstream.would_leave(view, each.member)]
        voters = staying if len(staying) >= count else ranked
        return Rule(tuple(sorted(voters)), min(count, len(voters)))
    chosen = ranked[:count]
    if any(each not in recorded for each in chosen) and record.sync and record.sync.votes == len(recorded):
        chosen += [each for each in recorded if each in ranked and each not in chosen]
    return Rule(tuple(sorted(chosen)), len(chosen))


def fit(view: View, record: Lease, now: float) -> list[Standby]:
    """Who may be synchronous, best first: `sync_priority`, no cascade ahead, in the set already, position, name."""
    recorded = {each.member: each for each in (record.sync.members if record.sync else ())}
    senders = {sender.member: sender for sender in view.server.senders}
    found: list[tuple[tuple[int, bool, bool, int, str], Standby]] = []
    for peer in view.peers:
        status, sender = compare.status_of(view, peer.pod.member), senders.get(peer.pod.member)
        priority = sync_priority(status, view.tags.get(peer.pod.member, {}))
        if priority == 0 or peer.pod.terminating or (status is not None and status.terminating):
            continue
        if sender is not None and lagging(view, sender):
            continue
        member = recorded.get(peer.pod.member)
        if member is not None and status is not None and status.incarnation != member.incarnation:
            member = None
        stays = member is not None and (sender is not None or not missed(view, peer, now))
        candidate = member if stays else newcomer(view, status, sender)
        if candidate is not None:
            leaves = upstream.would_leave(view, candidate.member)
            order = (-priority, leaves, not stays, -(sender.flushed if sender else 0), candidate.member)
            found.append((order, candidate))
    return [candidate for _, candidate in sorted(found)]


def missed(view: View, peer: Peer, now: float) -> bool:
    since = view.unsent_since.get(peer.pod.member)
    return since is not None and now - since >= PATIENCE


def newcomer(view: View, status: MemberStatus | None, sender: Sender | None) -> Standby | None:
    if status is None or sender is None or not status.incarnation or not streams(view, status):
        return None
    return Standby(status.member, status.incarnation)


def sync_priority(status: MemberStatus | None, declared: Mapping[str, str]) -> int:
    """Patroni's tags: `nosync` is priority 0, and so is who never leads: nobody could be elected with its commits."""
    tags = {**declared, **(status.tags if status is not None else {})}
    if on(tags, "nosync") or never_leads(tags):
        return 0
    text = tags.get("sync_priority", "")
    return int(text) if text.isdecimal() else 1


def lagging(view: View, sender: Sender) -> bool:
    """Further behind the best replica (the primary, where there is no other) than `maximum_lag_on_syncnode`."""
    most = view.configuration.maximum_lag_on_syncnode
    others = [other.flushed for other in view.server.senders if other.member != sender.member]
    own = view.server.position.lsn if view.server.position else 0
    return most >= 0 and max(others, default=own) - sender.flushed > most


def waited_for(view: View) -> str:
    """For whom every commit waits although nothing is sent there; "" while none does."""
    rule = view.enforced.rule if view.enforced else ALONE
    if rule == WAIT:
        return "any standby to be synchronous (synchronous_mode_strict)"
    served = {sender.member for sender in view.server.senders}
    missing = [each.member for each in rule.standbys if each.member not in served]
    return ", ".join(missing) if len(rule.standbys) - len(missing) < rule.votes else ""


def patience_ends(view: View, record: Lease, now: float) -> Iterator[float]:
    """Boot times at which a member of the set will have been missing for too long."""
    for each in record.sync.members if record.sync else ():
        since = view.unsent_since.get(each.member)
        if since is not None and since + PATIENCE > now:
            yield since + PATIENCE
