"""Before a planned stop of the primary: every pooler holds its clients back, so that they see a pause and no error.

Nobody has to let them go on: each pooler does when it sees another run of a primary, and after a while in any case.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from pgherd.kubernetes.store import PodStore, StoreError
from pgherd.rest.poolers import trouble
from pgherd.runtime.log import Log

FIND = 0.5
"""Seconds to find the poolers' pods, from the API: an agent that is cut off from it stops without them."""
HOLD = 1.5
"""Seconds that they get to answer."""

Ask = Callable[[Mapping[str, str], float], Awaitable[Mapping[str, str]]]
"""(addresses by pod, limit) -> `paused`, or what else each one said; never raises."""


class Pooling:
    """Lives with the agent; does nothing in a cluster without poolers."""

    def __init__(self, pods: PodStore, ask: Ask | None, log: Log) -> None:
        self._pods, self._ask, self._log = pods, ask, log

    async def hold(self) -> None:
        """Returns when all clients wait, or when that takes too long; never raises."""
        if self._ask is None:
            return
        try:
            addresses = await self._pods.poolers(FIND)
        except StoreError as error:
            self._log.warning("poolers", f"the poolers are not told of the stop: {error}")
            return
        if not addresses:
            return
        said = await self._ask(addresses, HOLD)
        if problems := list(trouble(said)):
            self._log.warning("poolers", f"clients may see an error: {'; '.join(problems)}")
        else:
            self._log.info("poolers", f"the clients of {len(said)} poolers wait")
