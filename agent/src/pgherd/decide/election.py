"""Nobody holds the lease, or it may be taken on proof: who takes it?"""

from __future__ import annotations

import msgspec

from pgherd.decide import compare, forced, synchronous
from pgherd.decide.forced import Opening
from pgherd.model.actions import Action, CutOff, Decision, Loser, PollPeers, Reason, Start, WriteLease
from pgherd.model.knowledge import WriteKind, takeable_at
from pgherd.model.lease import Holder, Lease
from pgherd.model.member import MemberStatus
from pgherd.model.position import History, Position
from pgherd.model.server import Data, Process
from pgherd.model.synchronous import Standby
from pgherd.model.tags import never_leads, priority
from pgherd.model.view import TaskKind, View, again

EMPTY_HOLDER = Holder(uid="", container="", nonce="", timeline=0, writable=0)
NEVER_LEADS = "tag nofailover is set, or failover_priority is 0"
STEP = 0.3
"""Seconds that each better candidate is given before the next one takes."""
TAKE_BACK = 5.0
"""Seconds that the named member has to take what was handed to it; then who gave it may take it back."""


def opening(view: View, now: float) -> Opening | float:
    """The way to the lease that is open to this member, or the instant at which one opens (§2)."""
    known = view.knowledge
    record = known.record
    assert record is not None
    if record.free:
        return Opening(known.first_seen, Reason("released", "the lease is free"), True)
    # Until the lease ends by itself: then the named member is one of all, and need not have the last bytes any more.
    given = record.handover if now < takeable_at(known) else None
    if given and (given.to, given.incarnation, given.epoch) == (view.member, view.server.incarnation, record.epoch):
        return Opening(known.first_seen, Reason("handover", f"{record.leader} handed the lease over"), True)
    own = record.holder is not None and record.holder.uid == view.uid and record.leader == view.member
    untaken = known.first_seen + TAKE_BACK if given and own and view.server.process is Process.STOPPED else None
    if given and untaken is not None and now >= untaken:
        return Opening(
            untaken, Reason("handover-untaken", f"{given.to} did not take the lease: it is taken back"), True
        )
    if view.predecessor_held and record.leader == view.member:
        # The holder of that lease is dead for certain, whatever state it left the data in.
        return Opening(
            known.first_seen, Reason("predecessor-dead", "the lease was made by an earlier container of this pod"), True
        )
    if record.pause and own:
        # Its end was sent and not confirmed in time. This pod's PostgreSQL lives in this container only (proof 3).
        text = "the end of the own pause was not confirmed in time"
        return Opening(known.first_seen, Reason("own-lease", text), True)
    ends = min(takeable_at(known), untaken or takeable_at(known))
    if dead(view, record) and view.death_seen is not None and not paused(view, record):
        after = view.death_seen + synchronous.early_takeover_delay(view, record)
        if now >= after:
            return Opening(
                after,
                Reason("container-dead", f"the kubelet reports the container of {record.leader} as terminated"),
                True,
            )
        ends = min(ends, after)
    if now >= takeable_at(known):
        return Opening(
            takeable_at(known), Reason("lease-expired", f"{record.leader} did not renew for {record.ttl:g} s"), False
        )
    return ends


def paused(view: View, record: Lease) -> bool:
    """A pause is recorded, and nobody wants its end: only the member that made the record goes on with it."""
    return record.pause and (view.configuration.pause or not view.configuration_read)


def dead(view: View, record: Lease) -> bool:
    """Proof 2: exactly the holder's container is reported as terminated, nothing less."""
    holder = record.holder
    if holder is None or not holder.container:
        return False
    return any(d.uid == holder.uid and d.container == holder.container for pod in view.pods for d in pod.deaths)


def decide(view: View, now: float) -> Decision | None:
    """A decision while the lease can be taken; None while somebody else's stands."""
    record = view.knowledge.record
    assert record is not None
    way = forced.way(view, opening(view, now))
    if isinstance(way, float):
        return None
    if paused(view, record) and way.reason.code != "handover" and not resumes(view, record):
        return Decision((), Reason("paused", f"{way.reason.text}; maintenance: nobody takes it before that ends"))
    until, error = stands_back(view)
    if now < until:
        return Decision((), Reason("standing-back", f"{way.reason.text}; {error}"), until)
    if (stale := compare.misplaced(view, record)) is not None:
        begun = prepare(view, way, stale)
        waits = begun if begun and begun.actions else Decision((), Reason("configuration-stale", stale))
        return forced.answered(view, record, waits, stale, now)
    if compare.identified(view) is None:
        return found_cluster(view, record, way, now)
    if unfinished(view, way):
        return take(view, record, way, ())
    if synchronous.cuts_off(view, record):
        return cut_off(view, record, way, now)
    why = able(view, record)
    if why is not None:
        return forced.answered(view, record, prepare(view, way, why), why, now)
    if way.reason.code in ("predecessor-dead", "own-lease"):
        return take(view, record, way, ())
    return forced.answered(view, record, race(view, record, way, now), None, now)


def unfinished(view: View, way: Opening) -> bool:
    """A standby leader that was rewound to its remote primary when it died: only it knows to be copied anew."""
    there = view.server.data is Data.HALF_REWOUND and view.configuration.standby_cluster is not None
    return there and view.task is None and way.reason.code == "predecessor-dead"


def stands_back(view: View) -> tuple[float, str]:
    """Until when, and for what error, this member leaves the lease to others: trying again at once would spin."""
    kinds = (TaskKind.INITIALISE, TaskKind.START, TaskKind.PROMOTE)
    failed = [failure for failure in view.failures if failure.kind in kinds]
    return (again(failed), failed[-1].error) if failed else (0.0, "")


def prepare(view: View, way: Opening, why: str) -> Decision | None:
    """Not able yet: a stopped server starts as a standby of nobody, so that it can be compared and promoted."""
    server = view.server
    startable = server.data is Data.PRESENT and server.process is Process.STOPPED and view.task is None
    if startable and not compare.stranger(view) and not any(s.role == "primary" for s in compare.answers(view)):
        return Decision((Start(writable=False),), Reason("start-alone", f"{way.reason.text}; starting to be electable"))
    if view.task is not None or server.data is not Data.PRESENT or compare.stranger(view):
        return None
    return Decision((), Reason("not-eligible", f"{way.reason.text}; this member cannot take it: {why}"))


def able(view: View, record: Lease) -> str | None:
    """Why this member's own state forbids it to take; None when it may (S2, S6)."""
    server = view.server
    if compare.stranger(view):
        return "its data belongs to another cluster (S6)"
    if server.data is not Data.PRESENT or server.system_identifier is None:
        return "it has no data"
    if server.position is None:
        return "the end of its WAL is not known yet"
    if view.task is not None:
        return f"it is {view.task.kind.value}"
    resumes = record.leader == view.member and server.was_primary and server.process is Process.STOPPED
    if never_leads(view.tags.get(view.member, {})) and not resumes:
        return NEVER_LEADS
    if server.process is not Process.RUNNING and not resumes:
        return f"PostgreSQL is {server.process.value}"
    own = synchronous.standby(view.member, server.incarnation)
    if resumes:
        why = None if view.configuration.standby_cluster else compare.outdated(record, server.position, server.history)
        return why or synchronous.barred(record, own, server.position)
    return unfit(view, record, own, server.position, server.history)


def unfit(view: View, record: Lease, who: Standby, position: Position, history: History) -> str | None:
    """S2, S3 and lag, for this member or another one."""
    # Who only follows another cluster's primary is asked for the latest timeline before its promotion.
    why = None if view.configuration.standby_cluster else compare.outdated(record, position, history)
    if why is not None or forced.accepts_loss(view):
        return why
    if (why := synchronous.barred(record, who, position)) is not None:
        return why
    lag = record.optime - position.lsn
    if lag > view.configuration.maximum_lag_on_failover and not synchronous.complete(record, who):
        return f"it is {lag} bytes behind"
    return None


def cut_off(view: View, record: Lease, way: Opening, now: float) -> Decision:
    """A vote is wanted: given only once nobody says that the holder is there, since commits wait for who gave one."""
    if compare.heard(view, way.since, but=record.leader) is None:
        return Decision((PollPeers(),), Reason("asking", f"{way.reason.text}; asking the others"), now + 0.5)
    text = f"{way.reason.text}; ending the WAL receiver, so that the own position is final (S3)"
    return contested(view, way, now) or Decision(
        (CutOff(record.nonce), PollPeers()), Reason("cutting-off", text), now + 0.1
    )


def contested(view: View, way: Opening, now: float) -> Decision | None:
    """Somebody says that the lease is not to be had."""
    for status in compare.answers(view, way.since):
        if status.role == "primary":
            return Decision((PollPeers(),), Reason("primary-answers", f"{status.member} runs as primary"), now + 0.5)
        if status.holds_until > 0 and (way.reason.code == forced.CODE or not way.proof):
            return Decision(
                (PollPeers(),), Reason("holder-answers", f"{status.member} says that it holds the lease"), now + 0.5
            )
        if status.promised_until > 0 and not way.proof:
            text = f"{status.member} has promised the holder not to take the lease for {status.promised_until:.1f} s"
            return Decision((PollPeers(),), Reason("promised-away", text), now + 0.5)
    return None


def race(view: View, record: Lease, way: Opening, now: float) -> Decision:
    """All peers were asked since the lease opened: who is best takes, the others give it a head start."""
    if way.reason.code == "handover":
        return accept(view, record, way, now)
    force = way.reason.code == forced.CODE
    ended = compare.heard(view, way.since, but=None if force else record.leader)
    if ended is None:
        return Decision((PollPeers(),), Reason("asking", f"{way.reason.text}; asking the others"), now + 0.5)
    contest = contested(view, way, now)
    if contest is not None:
        return contest
    outside = outsider(view, record, way)
    if outside is not None:
        return Decision(
            (PollPeers(),), Reason("outsider", f"{way.reason.text}; not a recorded candidate, and {outside}"), now + 1.0
        )
    lacking = synchronous.short(view, record, way.since)
    if lacking > 0 and not forced.accepts_loss(view):
        text = f"{way.reason.text}; {lacking} more voters must be cut off and have nothing that this member lacks (S3)"
        return Decision((PollPeers(),), Reason("counting-votes", text), now + 0.3)
    better, losers = rank(view, record, way.since)
    if forced.asked(view) is not None:
        better = 0
    # From when the last answer came: a silent member keeps everybody waiting alike, and would level the ranks.
    wait = max(way.since, ended) + better * STEP
    if now < wait:
        return Decision((), Reason("yielding", f"{better} better candidates go first"), wait)
    return take(view, record, way, losers)


def accept(view: View, record: Lease, way: Opening, now: float) -> Decision:
    """Named by who stopped for it: nobody need be asked, since nobody else may take it now."""
    position, given = view.server.position, record.handover
    assert position is not None and given is not None
    if position.lsn < given.lsn:
        text = f"{given.lsn - position.lsn} bytes up to the handover were not received"
        return Decision((), Reason("catching-up", text), now + 0.05)
    _, losers = rank(view, record, 0.0)
    return take(view, record, way, losers)


def outsider(view: View, record: Lease, way: Opening) -> str | None:
    """Recorded candidates stay binding after the lease ended; others need everybody's word or a proof (§5)."""
    named = {c.member: c.incarnation for c in record.candidates}
    if way.proof or record.leader is None or named.get(view.member, "") == view.server.incarnation:
        return None
    needed = {*named, record.leader, maker(view, record)} - {view.member}
    silent = sorted(needed - {status.member for status in compare.answers(view, way.since)})
    return f"{', '.join(silent)} did not answer" if silent else None


def maker(view: View, record: Lease) -> str:
    """Whose pod made the lease: somebody may have written another name over it, and goes on by failsafe or will not."""
    uid = record.holder.uid if record.holder is not None else ""
    pods = {pod.uid: pod.member for pod in view.pods}
    return pods.get(uid) or str(record.leader)


def rank(view: View, record: Lease, since: float) -> tuple[int, tuple[Loser, ...]]:
    """How many members that answered since `since` are better, and why each one loses."""
    own = view.server.position
    assert own is not None
    named = {c.member for c in record.candidates}
    wish = priority(view.tags.get(view.member, {}))
    mine = (view.member in named or record.leader == view.member, own, wish, _reversed(view.member))
    better, losers = 0, []
    said = {status.member: status for status in compare.answers(view, since)}
    for peer in view.peers:
        status = said.get(peer.pod.member)
        why = excluded(view, record, status)
        if why is None and status is not None and status.position is not None:
            theirs = (status.member in named, status.position, priority(status.tags), _reversed(status.member))
            if theirs > mine:
                better += 1
                why = "ranked first, but did not take it in time"
            else:
                why = f"ranked behind: it has {status.position}"
        losers.append(Loser(peer.pod.member, why or "no answer"))
    return better, tuple(losers)


def _reversed(name: str) -> tuple[int, ...]:
    """So that of equals the first name wins."""
    return tuple(-ord(letter) for letter in name)


def excluded(view: View, record: Lease, status: MemberStatus | None) -> str | None:
    if status is None:
        return "no answer"
    if not status.has_data or status.position is None:
        return "it has no data"
    if status.system_identifier != view.server.system_identifier:
        return "its data belongs to another cluster"
    if status.terminating:
        return "it is terminating"
    if never_leads(status.tags):
        return NEVER_LEADS
    who = synchronous.standby(status.member, status.incarnation)
    return unfit(view, record, who, status.position, status.history)


def resumes(view: View, record: Lease) -> bool:
    """The former holder with its own timeline: it goes on where it was, nothing is promoted."""
    server, old = view.server, record.holder
    return (
        record.leader == view.member and old is not None and server.was_primary
        and server.process is Process.STOPPED and server.position is not None
        and server.position.timeline == old.timeline
    )  # fmt: skip


def take(view: View, record: Lease, way: Opening, losers: tuple[Loser, ...]) -> Decision:
    """Epoch + 1, no address; the own timeline goes on only where nobody can have left it (proof 3, own lease)."""
    if view.writing:
        return Decision((), Reason("taking", "the write is under way"))
    server, old = view.server, record.holder
    own = server.position.timeline if server.position else 0
    same = resumes(view, record)
    standby = view.configuration.standby_cluster is not None
    timeline = own if same or standby else compare.next_timeline(view, record)
    base = old or EMPTY_HOLDER
    holder = msgspec.structs.replace(base, timeline=timeline, standby=standby)
    new = msgspec.structs.replace(
        record, leader=view.member, epoch=record.epoch + 1, ttl=view.configuration.ttl, released=None,
        holder=holder, candidates=(), handover=None, address=None, sync=synchronous.inherited(view, record),
        pause=same and paused(view, record),
    )  # fmt: skip
    kept = synchronous.complete(record, synchronous.standby(view.member, server.incarnation))
    newest = max([record.optime, *(said.position.lsn for said in last_words(view, record) if said.position)])
    at_risk = max(0, newest - server.position.lsn) if server.position and not kept else 0
    action: Action = WriteLease(WriteKind.TAKE, new, losers, at_risk)
    return Decision((action,), way.reason)


def last_words(view: View, record: Lease) -> list[MemberStatus]:
    """What the former holder says of itself, if it answers."""
    return [status for status in compare.answers(view) if status.member == record.leader]


def found_cluster(view: View, record: Lease, way: Opening, now: float) -> Decision | None:
    """No identity yet (S7): every declared member must say whether it has data, and all data be of one cluster."""
    if compare.heard(view, way.since) is None:
        return Decision((PollPeers(),), Reason("asking", "a new cluster; asking the others"), now + 0.5)
    said = {status.member: status for status in compare.answers(view, way.since)}
    needed = {*view.members, *(peer.pod.member for peer in view.peers)} - {view.member}
    missing = sorted(needed - said.keys())
    if missing:
        return Decision(
            (PollPeers(),), Reason("bootstrap-waits", f"waiting for the word of {', '.join(missing)}"), now + 0.3
        )
    holders = [status for status in said.values() if status.has_data]
    if view.server.data is Data.BROKEN:
        return Decision(
            (), Reason("data-broken", "the data directory cannot be read; it is never initialised over (S7)")
        )
    if view.server.data is Data.EMPTY:
        return found_new(view, record, way, holders, now)
    if any(status.system_identifier != view.server.system_identifier for status in holders):
        return Decision(
            (), Reason("two-clusters", "members hold data of different clusters: a person must decide (S6)")
        )
    why = able(view, record)
    return prepare(view, way, why) if why else race(view, record, way, now)


TASKS = frozenset(kind.value for kind in TaskKind)
"""States of a member that does something to its data: what it said of them is of before that ended (S7)."""


def found_new(view: View, record: Lease, way: Opening, holders: list[MemberStatus], now: float) -> Decision:
    """An empty volume, and everybody's word: initialise, unless this cluster ever had data (S7)."""
    if holders:
        text = f"{holders[0].member} has data: it goes first"
        return Decision((PollPeers(),), Reason("bootstrap-waits", text), now + 1.0)
    making = [status for status in compare.answers(view, way.since) if status.state in TASKS]
    if making:
        text = f"{making[0].member} is {making[0].state}: it will have data, or say that it has none"
        return Decision((PollPeers(),), Reason("bootstrap-waits", text), now + 0.5)
    if record.holder is not None and record.holder.writable > 0:
        text = f"this cluster was writable on timeline {record.holder.writable}, and no volume has data any more"
        return Decision((), Reason("data-gone", f"{text}: a person must decide (S7)"), now + 60.0)
    if not view.configuration_read:
        text = "a new cluster: its configuration is missing or refused, and says what to make it from"
        return Decision((), Reason("bootstrap-waits", text), now + 1.0)
    if never_leads(view.tags.get(view.member, {})):
        return Decision((), Reason("not-eligible", f"a new cluster; not initialised here: {NEVER_LEADS}"), now + 1.0)
    turn = way.since + STEP * view.members.index(view.member) if view.member in view.members else now
    if now < turn:
        return Decision((), Reason("yielding", "an earlier member initialises"), turn)
    return take(view, record, way, ())
