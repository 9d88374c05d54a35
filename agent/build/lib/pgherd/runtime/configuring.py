"""Changes of the dynamic configuration over REST (rest.configuring.Change), by compare-and-swap on the newest version.

What somebody else wrote in between is not lost: a change is merged and checked again on top of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pgherd.kubernetes.store import ConfigSeen, ConfigStore, Conflict, StoreError, Unanswered
from pgherd.model.settings import InvalidSetting
from pgherd.postgres.change import Document, checked, document, merged, unknown
from pgherd.rest.configuring import Change, Invalid, NotStored, Overtaken
from pgherd.runtime.log import Log
from pgherd.runtime.state import State

LIMIT = 3.0
"""Seconds for a request to the API."""
ATTEMPTS = 10
RETRY = 0.1


def changer(state: State, store: ConfigStore, log: Log) -> Change:
    async def change(body: Mapping[str, Any], replaces: bool, by: str) -> Document:
        try:
            for _ in range(ATTEMPTS):
                seen = await store.read(LIMIT)
                before, after, text = planned(seen, body, replaces)
                if before == after:
                    return after
                try:
                    state.saw_config(await _write(store, text, seen.version))
                except Conflict:
                    await asyncio.sleep(RETRY)
                    continue
                log.info("configuration", told(before, after, by))
                return after
        except StoreError as error:
            raise NotStored(f"it was not stored: {error}") from None
        raise Overtaken("the configuration changes all the time: nothing was stored, try again")

    return change


def planned(seen: ConfigSeen, body: Mapping[str, Any], replaces: bool) -> tuple[Document | None, Document, str]:
    """What is stored (None where it cannot be read), what will be, and its text. Raises Invalid, NotStored."""
    if not seen.version:
        raise NotStored("the object of the configuration is missing: run the play, it makes it")
    try:
        before = _before(seen, replaces)
        after = merged({} if replaces else before or {}, body)
        return before, after, checked(before or {}, after)
    except InvalidSetting as error:
        raise Invalid(str(error)) from None


def _before(seen: ConfigSeen, replaces: bool) -> Document | None:
    """Raises InvalidSetting where there is nothing to merge into; a replacement mends it."""
    try:
        return document(seen.config, "annotation config")
    except InvalidSetting:
        if replaces:
            return None
        raise


async def _write(store: ConfigStore, text: str, version: str) -> ConfigSeen:
    """A write without an answer is looked up. Raises StoreError."""
    try:
        return await store.write({"config": text}, version, LIMIT)
    except Unanswered:
        seen = await store.read(LIMIT)
        if seen.config != text:
            raise
        return seen


def told(before: Document | None, after: Document, by: str) -> str:
    """Names only: values may be for few eyes."""
    old = before or {}
    names = sorted(name for name in old.keys() | after.keys() if old.get(name) != after.get(name))
    strange = unknown(old, after)
    text = f"changed by {by} over REST: {', '.join(names)}"
    return f"{text}; unknown, kept and without effect: {', '.join(strange)}" if strange else text
