"""initdb into an empty volume: made beside, then renamed. A half-made directory is never taken for data (S7)."""

from __future__ import annotations

from collections.abc import Callable

from pgherd.postgres import configure, incarnation, outside
from pgherd.postgres.errors import PostgresError
from pgherd.postgres.layout import Layout, environment
from pgherd.postgres.replace import remove
from pgherd.postgres.run import run

LIMIT = 300.0


async def initialise(layout: Layout, volume_fd: int | None, allowed: Callable[[], bool]) -> None:
    """Checksums, UTF-8, a locale that sorts alike on every system; peer and SCRAM. The caller saw that it is empty.

    `allowed` is asked when initdb is done: a lease that was lost meanwhile may have another initialiser by now (S7).
    """
    await remove(layout, layout.new)
    configure.make_directories(layout)
    argv = [
        layout.program("initdb"), "-D", str(layout.new), "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8",
        "--data-checksums", "--auth-local=peer", "--auth-host=scram-sha-256", "--no-instructions",
        *outside.waldir(layout),
    ]  # fmt: skip
    await run(argv, environment(), LIMIT, volume_fd)
    incarnation.renew(layout.new)
    if not allowed():
        raise PostgresError("the lease was lost while initdb ran: its result is not used (S7)")
    try:
        layout.new.rename(layout.data)
    except OSError as error:
        raise PostgresError(f"cannot rename {layout.new} to {layout.data}: {error.strerror}") from None
    incarnation.sync_directory(layout.data.parent)
