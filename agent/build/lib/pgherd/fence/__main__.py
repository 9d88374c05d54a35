"""`python3 -m pgherd.fence`: the container's entry point."""

from __future__ import annotations

import os
import sys

from pgherd.fence.loop import Fence
from pgherd.fence.privileges import lock_memory, raise_priority


def main() -> int:
    if os.getpid() != 1:
        print("pgherd.fence must be PID 1 of its container: it ends whatever it does not know", file=sys.stderr)
        return 2
    fence = Fence(os.environ)
    fence.log("fence_started", memory_locked=lock_memory(), priority_raised=raise_priority())
    return fence.run()


if __name__ == "__main__":
    sys.exit(main())
