"""Pure decisions: `decide(view, now) -> Decision`. No I/O, no clock, no sleeping, no state.

core        which situation this member is in
holder      it holds the lease: initialise, promote, renew, publish, restart in place, hand over
failsafe    beside holder: the API does not confirm renewals, promises may
election    nobody does: may this member take the lease, and does it rank first
follower    somebody else does: clone, rewind, start, follow
leaving     SIGTERM
maintenance the lease records a pause
upstream    whom a standby streams and copies from
compare     what the others' words say about positions and histories
"""

from pgherd.decide.core import decide, unread

__all__ = ["decide", "unread"]
