"""Small patches of shipped code, each of which breaks one safety rule. Never of the simulator.

A patch is text that must occur exactly once: when shipped code moves, the mutant says so instead of doing nothing.
"""

from __future__ import annotations

from tests.simulation.mutants.mutant import Mutant, Patch
from tests.simulation.mutants.standby import STANDBY_MUTANTS
from tests.simulation.mutants.synchronous import SYNCHRONOUS_MUTANTS

LOCK, KNOWLEDGE, ELECTION = "runtime/lock.py", "model/knowledge.py", "decide/election.py"
PROMISES = "model/promises.py"
HOLDER, COMPARE, STATE = "decide/holder.py", "decide/compare.py", "runtime/state.py"
PODS = "kubernetes/pods.py"
ACCIDENT = "decide/accident.py"

MUTANTS = (
    Mutant(
        "no fence: the deadline lies far in the future",
        ("S1", "S4"),
        (Patch(LOCK, "Lock._obey", "self._fence.arm(wanted, ", "self._fence.arm(wanted + 60.0, "),),
    ),
    Mutant(
        "the deadline counts from the reply",
        ("S1", "S4"),
        (
            Patch(
                KNOWLEDGE,
                "observed",
                "    held = mine or (",
                "    mine = mine and msgspec.structs.replace(mine, t0=now)\n    held = mine or (",
            ),
        ),
    ),
    Mutant(
        "no margin between the fence and the lease's end",
        ("S1", "S4"),
        (Patch("model/settings.py", "margin", "return max(1.0, ttl / 10)", "return 0.0"),),
    ),
    Mutant(
        "a renewal does not start the wait anew",
        ("S1",),
        (
            Patch(
                KNOWLEDGE,
                "observed",
                "first_seen=known.first_seen if same else now",
                "first_seen=known.first_seen or now",
            ),
        ),
    ),
    Mutant(
        "a vanished pod is taken for a dead one",
        ("S1",),
        (
            Patch(
                ELECTION,
                "opening",
                "    ends = min(takeable_at(known), untaken or takeable_at(known))\n",
                "    if record.holder and all(pod.uid != record.holder.uid for pod in view.pods):\n"
                '        return Opening(known.first_seen, Reason("container-dead", "the pod is gone"), True)\n'
                "    ends = min(takeable_at(known), untaken or takeable_at(known))\n",
            ),
        ),
    ),
    Mutant(
        "the death of any container of the pod counts",
        ("S1",),
        (
            Patch(ELECTION, "dead", "d.uid == holder.uid and d.container == holder.container", "d.uid == holder.uid"),
            Patch(
                STATE,
                "State._death_seen",
                "seen.get(Death(holder.uid, holder.container))",
                "min((at for death, at in seen.items() if death.uid == holder.uid), default=None)",
            ),
        ),
    ),
    Mutant(
        "a lock object that was made anew is believed",
        ("S1", "S2", "S4"),
        (Patch(KNOWLEDGE, "accident", "if record.epoch < known.highest_epoch:", "if False:"),),
    ),
    Mutant(
        "a ttl that somebody shortens counts from what it was",
        ("S1",),
        (
            Patch(
                KNOWLEDGE,
                "observed",
                "promised=takeable_at(known) if last is not None and last.nonce == record.nonce else 0.0,",
                "promised=0.0,",
            ),
        ),
    ),
    Mutant(
        "a write without an answer is forgotten: its ttl does not count",
        ("S1", "S4"),
        (
            Patch(
                KNOWLEDGE,
                "shortest",
                "min([held.ttl, *read, *(attempt.ttl for attempt in known.unanswered)])",
                "min([held.ttl, *read])",
            ),
        ),
    ),
    Mutant(
        "the fence is disarmed when a pause is wanted, not when it is recorded",
        ("S1", "S4"),
        (
            Patch(
                LOCK,
                "Lock._obey",
                "        wanted = k.armed_until(self._state.knowledge, self._given_up)\n",
                "        wanted = k.armed_until(self._state.knowledge, self._given_up)\n"
                "        if wanted > 0 and self._state.configuration.pause:\n"
                "            wanted = math.inf\n",
            ),
        ),
    ),
    Mutant(
        "the fence stays disarmed until the end of a pause is confirmed",
        ("S1", "S4"),
        (
            Patch(
                KNOWLEDGE,
                "paused",
                "return all(attempt.pause and attempt.kind not in GIVES_UP for attempt in known.unanswered)",
                "return True",
            ),
        ),
    ),
    Mutant(
        "a paused lease is taken when it expires",
        ("S1",),
        (Patch(KNOWLEDGE, "takeable_at", "    if known.record.pause:\n        return math.inf\n", ""),),
    ),
    Mutant(
        "renewed without proof that PostgreSQL works",
        ("S4",),
        (
            Patch(
                HOLDER,
                "healthy",
                "return health is not None and health.alive and health.checked >= renewed_at(view.knowledge)",
                "return True",
            ),
            Patch(
                HOLDER,
                "failing",
                "if health is None or health.alive or health.checked < renewed_at(view.knowledge):",
                "if True:",
            ),
        ),
    ),
    Mutant(
        "a lock object that names nobody is waited out like any other",
        ("S2", "S7"),
        (
            Patch(
                ACCIDENT,
                "happened",
                "if not record.free and not record.named:",
                "if False:",
            ),
            Patch(KNOWLEDGE, "accident", "if record.holder is None and not record.free:", "if False:"),
        ),
    ),
    Mutant(
        "a missing lock object is taken as free",
        ("S1",),
        (
            Patch(ACCIDENT, "decide", "    if silent:\n", "    if False:\n"),
            Patch(ACCIDENT, "restored", "released=None, ", "released=max(word.epoch for word in words) + 1, "),
        ),
    ),
    Mutant(
        "of a lost lock the newest record of the members that happen to answer counts",
        ("S2",),
        (Patch(ACCIDENT, "decide", "    if silent:\n", "    if False:\n"),),
    ),
    Mutant(
        "an old copy of the lock object is believed",
        ("S1", "S2"),
        (
            Patch(KNOWLEDGE, "accident", "record.epoch < known.highest_epoch", "False"),
            Patch(KNOWLEDGE, "accident", "if known.lost_since and record.epoch == known.highest_epoch:", "if False:"),
            Patch(KNOWLEDGE, "accident", "record.serial < last.serial", "False"),
        ),
    ),
    Mutant(
        "the leader's own words on whose data it has are not compared",
        ("S6",),
        (Patch(COMPARE, "foreign", "return own is not None and theirs is not None and own != theirs", "return False"),),
    ),
    Mutant(
        "neither timeline nor lag of a candidate is compared",
        ("S2",),
        (
            Patch(
                ELECTION,
                "unfit",
                "    # Who only follows another cluster's primary is asked",
                "    return None\n    # Who only follows another cluster's primary is asked",
            ),
        ),
    ),
    Mutant(
        "a new timeline is only above the own ones",
        ("S2",),
        (
            Patch(
                COMPARE,
                "numbers_seen",
                "    if record.holder:\n        yield max(record.holder.timeline, record.holder.highest)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "timelines are compared by number only",
        ("S5",),
        (
            Patch(
                "model/position.py",
                "contains",
                "entry.timeline == position.timeline and position.lsn <= entry.end",
                "entry.timeline == position.timeline",
            ),
            Patch(
                "model/position.py",
                "fork",
                "        if mine.end != its.end and not (last and mine.end <= its.end):\n",
                "        if False and last:\n",
            ),
        ),
    ),
    Mutant(
        "another cluster's data is not noticed",
        ("S6",),
        (
            Patch(
                COMPARE,
                "_of_another",
                "return own is not None and theirs is not None and own != theirs",
                "return False",
            ),
        ),
    ),
    Mutant(
        "an empty member initialises whatever the others have",
        ("S7",),
        (
            Patch(ELECTION, "found_cluster", "    if missing:\n        return", "    if False:\n        return"),
            Patch(ELECTION, "found_new", "if record.holder is not None and record.holder.writable > 0:", "if False:"),
            Patch(HOLDER, "bootstrap", " or (record.holder is not None and record.holder.writable > 0)", ""),
        ),
    ),
    Mutant(
        "time is told by the wall clock",
        ("S1", "S4"),
        (
            Patch(
                "runtime/agent.py",
                "Agent.__init__",
                "        stores, server = parts.stores, parts.server\n",
                "        stores, server, zero = parts.stores, parts.server, wall() - clock()\n"
                "        clock = self._clock = lambda: wall() - zero\n",
            ),
        ),
    ),
    Mutant(
        "phase Failed is taken for a death",
        ("S1",),
        (
            Patch(
                PODS,
                "pod_seen",
                "        deaths=deaths(uid, status),\n",
                "        deaths=(Death(uid, status.containerID or ''),)\n"
                "        if status and item.status and item.status.phase == 'Failed'\n"
                "        else deaths(uid, status),\n",
            ),
        ),
    ),
    Mutant(
        "a restart count is taken for a death",
        ("S1",),
        (
            Patch(
                PODS,
                "pod_seen",
                "        deaths=deaths(uid, status),\n",
                "        deaths=(*deaths(uid, status), Death(uid, status.containerID or ''))\n"
                "        if status and status.restartCount and not status.ready\n"
                "        else deaths(uid, status),\n",
            ),
        ),
    ),
    Mutant(
        "a status that nobody saw is taken for a death",
        ("S1",),
        (Patch(PODS, "_death", "if ended.reason in _NO_PROOF else", "if False else"),),
    ),
    Mutant(
        "a candidate is known by its name, whatever data it has now",
        ("S8",),
        (
            Patch(
                ELECTION,
                "outsider",
                'named.get(view.member, "") == view.server.incarnation',
                "view.member in named",
            ),
        ),
        fault="replace_copy",
    ),
    Mutant(
        "lag is not compared",
        ("S2",),
        (Patch(ELECTION, "unfit", "    lag = record.optime - position.lsn\n", "    lag = 0\n"),),
    ),
    Mutant(
        "a promotion that was sent is recalled without a kill",
        ("S1", "S2"),
        (
            Patch(
                "decide/succession.py",
                "give_up",
                "    if view.server.process is not Process.STOPPED or view.server.primary:\n",
                "    if view.server.process is not Process.STOPPED and not view.server.promoting:\n",
            ),
            Patch(
                "decide/core.py",
                "unsafe",
                "    dead = view.server.process is Process.STOPPED\n",
                "    dead = view.server.process is Process.STOPPED or view.server.promoting\n",
            ),
            Patch(
                LOCK,
                "Lock._obey",
                "        if wanted == 0.0:\n",
                "        if wanted == 0.0 and self._state.server and self._state.server.promoting:\n"
                "            return\n        if wanted == 0.0:\n",
            ),
            Patch(
                LOCK,
                "Lock.sending",
                "            self._fence.withdraw()\n        self._fence.record",
                "        self._fence.record",
            ),
        ),
    ),
    Mutant(
        "a member that does not stream is a candidate",
        ("S8", "S2"),
        (Patch(COMPARE, "candidates", "if streams and near and", "if"),),
    ),
    Mutant(
        "a promise is given while a take is unresolved, to a holder that asks on after its lease has ended",
        ("S1",),
        (
            Patch(PROMISES, "refusal", "if taking or known.unanswered:", "if False:"),
            Patch(PROMISES, "uncounted", "if now >= deadline(known):", "if False:"),
            Patch("decide/core.py", "ordinary", "holds(view.knowledge, now):", "view.knowledge.held is not None:"),
            Patch("decide/core.py", "ordinary", "if now >= deadline(view.knowledge):", "if False:"),
        ),
    ),
    Mutant(
        "a promise is forgotten when the lease expires: the promiser takes",
        ("S1", "S4"),
        (
            Patch(
                KNOWLEDGE,
                "takeable_at",
                "return max(known.first_seen + known.record.ttl, known.promised, promised_away(known))",
                "return max(known.first_seen + known.record.ttl, known.promised)",
            ),
            Patch("runtime/status.py", "Status.member", "max(0.0, k.promised_away(known) - now)", "0.0"),
        ),
    ),
    Mutant(
        "one promise is enough",
        ("S1", "S4"),
        (Patch(PROMISES, "uncounted", "if missing:", "if missing and not given:"),),
    ),
    Mutant(
        "whom an unanswered write names is not asked",
        ("S1", "S4"),
        (
            Patch(
                PROMISES,
                "candidates",
                "(known.held, *known.unanswered)",
                "(known.held,)",
            ),
        ),
        fault="interrupt_candidate",
    ),
    *SYNCHRONOUS_MUTANTS,
    *STANDBY_MUTANTS,
)
