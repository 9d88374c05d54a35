"""The data of a new cluster: made beside, then renamed. A half-made directory is never taken for data (S7)."""

from __future__ import annotations

from collections.abc import Callable

from pgherd.model.methods import INITDB, Method
from pgherd.postgres import configure, incarnation, outside
from pgherd.postgres.errors import PostgresError
from pgherd.postgres.layout import environment
from pgherd.postgres.making import Making, by_program
from pgherd.postgres.replace import remove
from pgherd.postgres.run import run

LIMIT = 300.0


async def initialise(making: Making, allowed: Callable[[], bool], method: Method = INITDB) -> None:
    """By initdb or a program of the user. The caller saw that the volume is empty.

    `allowed` is asked when they are made: a lease that was lost meanwhile may have another initialiser by now (S7).
    """
    layout = making.layout
    await remove(layout, layout.new)
    configure.make_directories(layout)
    if method == INITDB:
        await _initdb(making)
    else:
        await by_program(making, method, "primary", None)
    incarnation.renew(layout.new)
    if not allowed():
        raise PostgresError(f"the lease was lost while {method.name} ran: its result is not used (S7)")
    try:
        layout.new.rename(layout.data)
    except OSError as error:
        raise PostgresError(f"cannot rename {layout.new} to {layout.data}: {error.strerror}") from None
    incarnation.sync_directory(layout.data.parent)


async def _initdb(making: Making) -> None:
    """Checksums, UTF-8, a locale that sorts alike on every system; peer and SCRAM."""
    argv = [
        making.layout.program("initdb"), "-D", str(making.layout.new), "-U", "postgres", "-E", "UTF8",
        "--locale=C.UTF-8", "--data-checksums", "--auth-local=peer", "--auth-host=scram-sha-256", "--no-instructions",
        *outside.waldir(making.layout),
    ]  # fmt: skip
    await run(argv, environment(), LIMIT, making.volume_fd)
