"""Changes of the dynamic configuration as text in, text out. Pure: nothing is read or written here.

Everything is checked as the agents check it before it is shown, and shown before it is written.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import yaml

from pgherd.model.settings import Configuration, InvalidSetting, PostgresSettings, Settings, read_configuration
from pgherd.postgres.layout import Layout
from pgherd.postgres.render import FORBIDDEN, check_parameter, owned

RAISED = frozenset({"max_wal_senders", "max_replication_slots"})
"""Ours at least, the user's where they are more."""
_ANY = Settings("any", PostgresSettings(17, "/", "/", "/"), ())
TAKEN = (
    FORBIDDEN | {*owned(_ANY, Layout(_ANY.postgres), Configuration()), "primary_conninfo", "primary_slot_name"}
) - RAISED
"""Parameters that the product sets itself, whatever the configuration says."""

Document = dict[str, Any]


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


def assignment(word: str, prefix: Sequence[str] = ()) -> Document:
    """`a.b=value` as a nested mapping; the value is YAML, `null` or nothing removes. Raises InvalidSetting."""
    name, equals, text = word.partition("=")
    if not equals or not name:
        raise InvalidSetting(f"{word!r}: must be NAME=VALUE")
    path = [*prefix, name] if prefix else name.split(".")
    if not all(path):
        raise InvalidSetting(f"{word!r}: {name!r} is not the name of a setting")
    try:
        value = yaml.safe_load(text) if text else None
    except yaml.YAMLError:
        value = text
    for part in reversed(path):
        value = {part: value}
    assert isinstance(value, dict)
    return value


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


def text(configuration: Mapping[str, Any]) -> str:
    """As people read and edit it."""
    return yaml.safe_dump(dict(configuration), sort_keys=True, allow_unicode=True) if configuration else ""


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Unified, without file names; empty when nothing changes."""
    lines = difflib.unified_diff(text(before).splitlines(), text(after).splitlines(), lineterm="", n=2)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++")))
