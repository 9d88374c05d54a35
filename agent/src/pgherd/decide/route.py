"""Where Service `<cluster>-ha` leads to: to whom the lease has published, and changed once in a failover.

No safety rule rests on it: a client that is sent to a dead primary is refused, and the fence ends whoever would serve
it wrongly (S1). But kube-proxy rests a second after each change, so the old route stays while the next leader
promotes, for UNPUBLISHED seconds: nobody answers there. It never leads to a standby that takes connections.
"""

from __future__ import annotations

from pgherd.model.knowledge import holds
from pgherd.model.server import Process
from pgherd.model.view import View

UNPUBLISHED = 5.0
"""Seconds that the route to a former leader is left while the holder is not writable yet: longer than most promotions;
then clients are refused at once, rather than wait for a machine that is gone."""


def wanted(view: View, seen: tuple[str, ...], now: float) -> tuple[str, ...]:
    """The addresses that the route is to have, where it has those of `seen`; the same where it is none of its business.

    The holder's word alone brings clients anywhere; who is a standby now takes itself out.
    """
    known = view.knowledge
    standby = view.server.process is Process.RUNNING and not view.server.primary
    left = tuple(address for address in seen if address != view.address) if standby else seen
    if known.record is None or not holds(known, now):
        return left
    if known.record.address == view.address:
        return (view.address,)
    return left if now - known.held_from < UNPUBLISHED else ()
