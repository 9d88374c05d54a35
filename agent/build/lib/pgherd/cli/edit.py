"""Changes of the dynamic configuration as a person types them and reads them. Pure (the change is postgres.change)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from pgherd.model.settings import InvalidSetting
from pgherd.postgres.change import Document


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


def text(configuration: Mapping[str, Any]) -> str:
    """As people read and edit it."""
    return yaml.safe_dump(dict(configuration), sort_keys=True, allow_unicode=True) if configuration else ""


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Unified, without file names; empty when nothing changes."""
    lines = difflib.unified_diff(text(before).splitlines(), text(after).splitlines(), lineterm="", n=2)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++")))
