# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of single values: each notes a problem that names the variable, what was given and what is allowed."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .masking import MASK, SECRET_NAME, hidden

QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E)?")
STORAGE = re.compile(r"(\d+(\.\d+)?)(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E)")
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_HOLDS_SECRET = re.compile(r"passw(or)?d|://[^/\s]*:[^/\s]*@", re.IGNORECASE)


class Problems:
    """Collects what is wrong, so that a person sees all of it at once."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, name: str, value: Any, allowed: str) -> None:
        self.texts.append(f"{given(name, value)}: {allowed}")

    def integer(self, name: str, value: Any, least: int, most: int) -> int:
        number = _number(value)
        if number is None or number != int(number) or not least <= number <= most:
            self.add(name, value, f"must be a whole number from {least} to {most}")
            return least
        return int(number)

    def number(self, name: str, value: Any) -> float:
        number = _number(value)
        if number is None:
            self.add(name, value, "must be a number")
            return 0
        return int(number) if number == int(number) else number

    def boolean(self, name: str, value: Any) -> bool:
        text = str(value).lower()
        if text not in _TRUE + _FALSE:
            self.add(name, value, "must be true or false")
        return text in _TRUE

    def choice(self, name: str, value: Any, allowed: Sequence[str]) -> str:
        if value not in allowed:
            self.add(name, value, f"must be one of {', '.join(allowed)}")
        return str(value)

    def pattern(self, name: str, value: Any, pattern: re.Pattern[str], allowed: str) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            self.add(name, value, allowed)
        return str(value)

    def storage(self, name: str, value: Any) -> str:
        found = STORAGE.fullmatch(value) if isinstance(value, str) else None
        if found is None or float(found[1]) == 0:
            self.add(name, value, "must be a size with a unit, such as 10Gi or 500Mi")
        return str(value)

    def resources(self, name: str, value: Any) -> dict[str, Any]:
        """Requests and limits as Kubernetes takes them, which refuses a request above its limit."""
        chosen = {
            part: {key: str(each) for key, each in self.mapping(f"{name}.{part}", amounts).items()}
            for part, amounts in self.fields(name, value, ("requests", "limits")).items()
        }
        for part, amounts in chosen.items():
            for resource, amount in amounts.items():
                if not QUANTITY.fullmatch(amount):
                    self.add(f"{name}.{part}.{resource}", amount, "must be a quantity, such as 500m or 1Gi")
        limits = chosen.get("limits", {})
        for resource, amount in chosen.get("requests", {}).items():
            if quantity(amount) > quantity(limits.get(resource, amount)):
                allowed = f"must be at most {limits[resource]}, which is {name}.limits.{resource}"
                self.add(f"{name}.requests.{resource}", amount, allowed)
        return chosen

    def mapping(self, name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            self.add(name, value, "must be a dictionary")
            return {}
        return dict(value)

    def sequence(self, name: str, value: Any) -> list[Any]:
        if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
            self.add(name, value, "must be a list")
            return []
        return list(value)

    def fields(self, name: str, value: Any, known: Iterable[str]) -> dict[str, Any]:
        """The dictionary's known fields; an unknown one is a problem that lists the known and guesses."""
        known, found = tuple(known), self.mapping(name, value)
        for field in found:
            if field not in known:
                self.add(f"{name}.{field}", found[field], f"no such field; {_instead(field, known)}")
        return {field: each for field, each in found.items() if field in known}


def unknown(variables: Mapping[str, Any], known: Sequence[str], prefix: str) -> list[str]:
    """One sentence per variable that pgherd does not know; the known ones are listed once, after the last."""
    others = [name for name in variables if name not in known]
    bare = [name.removeprefix(prefix) for name in known]
    texts = list[str]()
    for name in others:
        guess = nearest(name.removeprefix(prefix), bare)
        text = f"{given(name, variables[name])}: no such variable"
        texts.append(f"{text}; did you mean {prefix}{guess}?" if guess else text)
    return [*texts, f"known variables are {', '.join(known)}"] if texts else []


def _instead(name: str, known: Sequence[str]) -> str:
    similar = nearest(name, known)
    guess = f"did you mean {similar}? " if similar else ""
    return f"{guess}known are {', '.join(known)}"


def nearest(name: str, known: Sequence[str]) -> str:
    return next(iter(difflib.get_close_matches(name, known, 1)), "")


def given(name: str, value: Any) -> str:
    """`name=value` for a person, without what may be a secret: problems are printed and logged."""
    return f"{name}={MASK if SECRET_NAME.search(name) and value not in (None, '') else shown(value)}"


def quantity(text: str) -> float:
    """Kubernetes' notation as a number; zero for what is no quantity."""
    found = QUANTITY.fullmatch(text)
    unit = (found[2] or "") if found else ""
    if found is None or unit == "m":
        return float(found[1]) / 1000 if found else 0.0
    power = "kmgtpe".index(unit[0].lower()) + 1 if unit else 0
    return float(found[1]) * float((1024 if unit.endswith("i") else 1000) ** power)


def shown(value: Any) -> str:
    try:
        text = json.dumps(_without_secrets(value))
    except TypeError:
        text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: MASK if SECRET_NAME.search(str(name)) else _without_secrets(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_secrets(each) for each in value]
    if isinstance(value, str) and (_HOLDS_SECRET.search(value) or hidden(value) != value):
        return MASK
    return value


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
