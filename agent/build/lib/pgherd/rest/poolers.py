"""Asking the poolers to hold their clients back (POST /pause) before the primary is stopped on purpose.

Dialled by pod IP as peers are; each must show the certificate of the pooler's Service, `<cluster>-pgbouncer`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from pgherd.rest.certificates import client_context
from pgherd.rest.client import Asking, Connection


class Held(msgspec.Struct, frozen=True):
    """A pooler's answer."""

    state: str
    """paused: no transaction is open; waiting: some are, new ones wait."""


PAUSE = Asking("POST", "/pause")


async def pause(
    addresses: Mapping[str, str], cluster: str, port: int, certificates: Path | str, limit: float
) -> dict[str, str]:
    """By pod: `paused`, `waiting`, or why it is neither. `limit` is seconds for all of them; never raises."""
    try:
        context = client_context(Path(certificates))
    except (OSError, ssl.SSLError) as error:
        return dict.fromkeys(addresses, f"no usable certificates in {certificates}: {error}")
    name = f"{cluster}-pgbouncer"
    said = await asyncio.gather(*(_one(context, each, port, name, limit) for each in addresses.values()))
    return dict(zip(addresses, said, strict=True))


async def _one(context: ssl.SSLContext, address: str, port: int, name: str, limit: float) -> str:
    try:
        async with asyncio.timeout(limit):
            streams = await asyncio.open_connection(address, port, ssl=context, server_hostname=name)
            connection = Connection(*streams, address)
            try:
                code, body = await connection.send(PAUSE)
            finally:
                connection.drop()
        if code != 200:
            return f"answered {code}: {body.decode(errors='replace')[:200]}"
        return msgspec.json.decode(body, type=Held).state
    except TimeoutError:
        return f"no answer within {limit:g} s"
    except Exception as error:  # a pooler that fails must not keep the primary from stopping
        return str(error) or type(error).__name__


def trouble(said: Mapping[str, str]) -> Iterable[str]:
    """A sentence for each pooler whose clients may see an error."""
    return (f"{pod}: {word}" for pod, word in said.items() if word != "paused")
