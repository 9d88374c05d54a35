"""Programs of PostgreSQL as subprocesses: each with a time limit, its output kept, ended with all its children."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from pgherd.postgres.errors import ToolFailed

KEPT = 4000
"""Characters of output kept in an error."""
LARGEST = 1024 * 1024
"""Bytes of output kept at all, the last ones: a program of the user may talk for hours."""


async def run(
    argv: Sequence[str],
    env: dict[str, str],
    limit: float,
    volume_fd: int | None = None,
    accepted: frozenset[int] = frozenset({0}),
) -> str:
    """stdout and stderr together, as text. Raises ToolFailed. The volume's lock is inherited when given."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        pass_fds=() if volume_fd is None else (volume_fd,),
    )
    program = Path(argv[0]).name
    try:
        output = await asyncio.wait_for(_output(process), limit)
    except TimeoutError:
        raise ToolFailed(program, f"did not end within {limit:g} s", "") from None
    finally:
        if process.returncode is None:
            await _end(process)
    text = output.decode(errors="replace")
    if process.returncode not in accepted:
        raise ToolFailed(program, f"ended with status {process.returncode}", text[-KEPT:])
    return text


async def _output(process: asyncio.subprocess.Process) -> bytes:
    """Until the program and whoever shares its output have ended."""
    assert process.stdout is not None
    kept = bytearray()
    while chunk := await process.stdout.read(65536):
        kept += chunk
        if len(kept) > 2 * LARGEST:
            del kept[:-LARGEST]
    await process.wait()
    return bytes(kept[-LARGEST:])


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the whole session: pg_basebackup has a child that streams WAL."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    await process.wait()
