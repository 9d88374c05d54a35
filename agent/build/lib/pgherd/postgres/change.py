"""A change of the dynamic configuration, from the command line or over REST. Pure: nothing is read or written here.

What the agents would not obey is refused before it is written, with field, value and what is allowed. What only the
running server can tell (postgres.check) each agent says when it has read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

from pgherd.model.settings import Configuration, InvalidSetting, PostgresSettings, Settings, read_configuration
from pgherd.postgres.layout import Layout
from pgherd.postgres.render import FORBIDDEN, check_parameter, owned

Document = dict[str, Any]
"""The annotation as people write it: keys of Patroni's shape, unknown ones included."""

LARGEST = 128 * 1024
"""Bytes of the annotation's text: Kubernetes keeps 256 KiB of annotations on an object, and history is there, too."""
RAISED = frozenset({"max_wal_senders", "max_replication_slots"})
"""Ours at least, the user's where they are more."""
_ANY = Settings("any", PostgresSettings(17, "/", "/", "/"), ())
TAKEN = (
    FORBIDDEN | {*owned(_ANY, Layout(_ANY.postgres), Configuration()), "primary_conninfo", "primary_slot_name"}
) - RAISED
"""Parameters that the product sets itself, whatever the configuration says."""


def document(text: str | None, what: str) -> Document:
    """A mapping from YAML or JSON; empty without any. Raises InvalidSetting."""
    try:
        found = yaml.safe_load(text) if text else {}
    except yaml.YAMLError as error:
        raise InvalidSetting(f"{what} cannot be read: {error}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidSetting(f"{what} must be a mapping of settings, not {type(found).__name__}")
    return found


def merged(before: Mapping[str, Any], changes: Mapping[str, Any]) -> Document:
    """`changes` over `before`: mappings are merged, null removes, everything else replaces."""
    after = dict(before)
    for name, value in changes.items():
        old = after.get(name)
        if value is None:
            after.pop(name, None)
        elif isinstance(value, Mapping):
            after[name] = merged(old if isinstance(old, Mapping) else {}, value)
        else:
            after[name] = value
    return after


def checked(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The annotation's text. Raises InvalidSetting for what no agent would obey."""
    text = msgspec.json.encode(after).decode()
    if len(text) > LARGEST:
        raise InvalidSetting(f"the configuration has {len(text)} bytes: must be at most {LARGEST}")
    read_configuration(text)
    parameters, old = _parameters(after), _parameters(before)
    for name, value in parameters.items():
        check_parameter(name, value)
        if name.lower() in TAKEN and old.get(name) != value:
            raise InvalidSetting(f"postgresql.parameters.{name}={value!r}: pgherd sets this parameter itself")
    return text


def _parameters(configuration: Mapping[str, Any]) -> Mapping[str, Any]:
    return (configuration.get("postgresql") or {}).get("parameters") or {}


def unknown(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """New keys that this version does not know: kept, and without effect."""
    known = {field.name for field in msgspec.structs.fields(Configuration)}
    return sorted(after.keys() - before.keys() - known)
