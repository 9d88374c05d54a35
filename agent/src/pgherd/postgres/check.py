"""Whether PostgreSQL would take a configuration, asked of PostgreSQL itself before anything is changed.

`postgres -C` reads a postgresql.conf as a start would, without a data directory and beside a running server: names,
types, ranges, units and allowed values of exactly this version, every mistake at once. Rules of pg_hba.conf and
pg_ident.conf can only be asked of a running server, which reads the files that are in place.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from pgherd.postgres.errors import ToolFailed
from pgherd.postgres.layout import Layout, environment
from pgherd.postgres.run import run
from pgherd.postgres.sessions import Connection

LIMIT = 10.0
MESSAGE = re.compile(r"^.*? (LOG|WARNING|FATAL|HINT):  (.*)$", re.MULTILINE)
NOISE = ("skipping missing configuration file", "contains errors")
PLACE = re.compile(r' in file "[^"]*" line \d+')
HBA = "SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL ORDER BY 1"
IDENT = "SELECT line_number, error FROM pg_ident_file_mappings WHERE error IS NOT NULL ORDER BY 1"
IDENT_SINCE = 150000
SECRET = re.compile(r"(?:ldapbindpasswd|radiussecrets)\s*=\s*")
MASK = "********"


def mistakes(output: str) -> list[str]:
    """The messages of a refused configuration, each with its hint."""
    found: list[str] = []
    for severity, text in MESSAGE.findall(output):
        text = PLACE.sub("", text)
        if severity == "HINT" and found:
            found[-1] += f" ({text.rstrip('.')})"
        elif severity != "HINT" and not any(noise in text for noise in NOISE):
            found.append(text)
    return found


async def parameters(layout: Layout, conf: str) -> list[str]:
    """What is wrong with a whole postgresql.conf; empty when PostgreSQL would start with it.

    Raises ToolFailed when it cannot be told now: a busy machine refuses nobody's configuration.
    """
    folder = layout.temporary / "check"
    await asyncio.to_thread(_write, folder, conf)
    try:
        await run([layout.program("postgres"), "-D", str(folder), "-C", "max_connections"], environment(), LIMIT)
    except ToolFailed as error:
        if not error.output:
            raise
        return mistakes(error.output) or [str(error)]
    return []


def _write(folder: Path, conf: str) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "postgresql.conf").write_text(conf)


async def rules(connection: Connection, hba: str, ident: str) -> list[str]:
    """What is wrong with the files in place, whose texts are given to name the lines."""
    found = [(HBA, "pg_hba", hba)]
    if connection.info.server_version >= IDENT_SINCE:
        found.append((IDENT, "pg_ident", ident))
    result = []
    for sql, name, text in found:
        lines = text.splitlines()
        for row in await (await connection.execute(sql.encode())).fetchall():
            line = lines[row["line_number"] - 1] if 0 < row["line_number"] <= len(lines) else ""
            result.append(f"{name}: {refused(line, row['error'])}")
    return result


def refused(line: str, error: str) -> str:
    """The line and PostgreSQL's words, for logs and annotations: of a line with a secret only what stands before it.

    PostgreSQL ends some of its messages with the word that it did not understand, which may be a part of one.
    """
    secret = SECRET.search(line)
    if secret is None:
        return f"{line!r}: {error}"
    message, colon, word = error.rpartition(": ")
    if colon and word.strip('"') in line[secret.end() :]:
        error = f"{message}: {MASK}"
    return f"{line[: secret.end()] + MASK!r}: {error}"
