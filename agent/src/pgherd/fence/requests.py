"""What the agent may ask of the fence. Each request is answered once; `kill` after an empty killing pass.

`look` asks nothing: it ends the fence's sleep after the mapping was made stricter, and has no answer.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from pgherd.fence import processes
from pgherd.fence.volume import Volume, VolumeBusy
from pgherd.model.mapping import boottime

if TYPE_CHECKING:
    from pgherd.fence.loop import Fence

SIGNALS = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1})


class Refused(RuntimeError):
    """The request would break an invariant, or cannot be carried out; the text says why."""


def answer(fence: Fence, request: dict[str, Any]) -> None:
    """Carry out one request and reply."""
    verb = request.get("verb", "")
    fds: tuple[int, ...] = ()
    if verb == "look":
        return
    try:
        if verb == "kill":
            fence.kill_for(request["id"])
            return
        result = VERBS[verb](fence, request) if verb in VERBS else _unknown(verb)
        if verb == "lock" and fence.postgres.volume:
            fds = (fence.postgres.volume.fd,)
    except (Refused, VolumeBusy, OSError, KeyError, ValueError) as error:
        fence.log("refused", verb=verb, why=str(error))
        fence.agent.tell({"id": request.get("id"), "ok": False, "error": str(error)})
        return
    fence.agent.tell({"id": request["id"], "ok": True, **result}, fds)


def _unknown(verb: str) -> dict[str, Any]:
    raise Refused(f"unknown verb {verb!r}")


def _lock(fence: Fence, request: dict[str, Any]) -> dict[str, Any]:
    """Take the volume's lock for the rest of this container's life; the reply carries the open file."""
    postgres = fence.postgres
    if postgres.volume is None:
        postgres.volume = Volume(request["path"], request["data_directory"])
        if not postgres.leftovers():
            postgres.volume.remove_stale_locks()
    elif (postgres.volume.lock, postgres.volume.data_directory) != (request["path"], request["data_directory"]):
        raise Refused(f"this container uses {postgres.volume.data_directory}: another directory needs a new container")
    return {}


def _refuse_a_second_one(fence: Fence) -> Volume:
    postgres = fence.postgres
    if postgres.volume is None:
        raise Refused("the volume is not locked yet")
    if fence.terminating is not None and fence.agent.pid is None:
        raise Refused("the container is stopping")
    if postgres.pid:
        raise Refused(f"PostgreSQL runs already as process {postgres.pid}")
    if not postgres.dead or postgres.leftovers():
        raise Refused("processes of an earlier PostgreSQL still live on the data directory")
    return postgres.volume


def _start(fence: Fence, request: dict[str, Any]) -> dict[str, Any]:
    """Start the postmaster. Writable only before an armed deadline or in a pause, else only as a standby (S1, S4)."""
    volume = _refuse_a_second_one(fence)
    writable = bool(request["writable"])
    if writable and fence.deadline <= boottime() and not fence.mapping.paused:
        raise Refused("a writable start needs an armed deadline in the future, or a recorded pause (S4)")
    if not writable and not volume.is_standby():
        raise Refused(f"{volume.data_directory} has no standby.signal: it would start writable (S1)")
    pid = fence.postgres.start(request["argv"], request["env"], writable, None)
    fence.log("postgres_started", pid=pid, writable=writable)
    return {"pid": pid}


def _single(fence: Fence, request: dict[str, Any]) -> dict[str, Any]:
    """Single-user recovery before pg_rewind: exempt from the deadline, nobody can connect to it."""
    _refuse_a_second_one(fence)
    if request["argv"][1:2] != ["--single"]:
        raise Refused("single-user recovery must be `postgres --single`")
    pid = fence.postgres.start(request["argv"], request["env"], False, request.get("output"))
    fence.log("single_user_started", pid=pid)
    return {"pid": pid}


def _signal(fence: Fence, request: dict[str, Any]) -> dict[str, Any]:
    """Send a signal to the postmaster: never to a process that merely has its old number."""
    if request["signum"] not in SIGNALS:
        raise Refused(f"signal {request['signum']} is not the agent's to send: use kill")
    if not fence.postgres.pid:
        raise Refused("PostgreSQL does not run")
    processes.send([fence.postgres.pid], request["signum"])
    return {}


def _state(fence: Fence, request: dict[str, Any]) -> dict[str, Any]:
    return {
        "pid": fence.postgres.pid,
        "dead": fence.postgres.dead,
        "writable": fence.postgres.writable,
        "armed": fence.deadline > boottime(),
        "paused": fence.mapping.paused,
        "overdue": fence.overdue_since is not None,
        "kills": fence.kills,
    }


VERBS = {"lock": _lock, "start": _start, "single": _single, "signal": _signal, "state": _state}
