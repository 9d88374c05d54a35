# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dynamic configuration as a person may see it. Pure.

It is no Secret, and yet it can hold some: `ldapbindpasswd` and `radiussecrets` of a pg_hba rule, a password in a
connection string or an address. What is printed or published goes through here; what is compared or written never does.
Where a rule's quoting is unclear, more is masked rather than less.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "********"
MASK_CHANGED = "******** (changed)"
SECRET_NAME = re.compile(
    r"pass(word(?!_enc|_type|\.type)|wd|phrase)|(?<!pull_)(?<!tls_)(?<!authority_)secret|token|credential|private|key$",
    re.IGNORECASE,
)
_WORD = r"(?<!\w)\w*(?:passw(?:or)?d|passphrase|secret\w*|token)\s*=\s*"
# Up to white space outside quotes; a list goes on after a comma.
_VALUE = r"""(?:"(?:\\.|[^"\\])*(?:"|$)|'(?:\\.|[^'\\])*(?:'|$)|\\.|,\s+|[^\s"'])+"""
_ASSIGNED = re.compile(
    rf"""(?P<quoted>"{_WORD})(?:\\.|""|[^"\\])*(?P<end>"|$)|(?P<word>{_WORD}){_VALUE}""", re.IGNORECASE | re.DOTALL
)
_IN_ADDRESS = re.compile(r"(://[^\s/:@]*:)[^\s/]*(?=@)")


def hidden(value: Any, mask: str = MASK) -> Any:
    """The value with `mask` in place of every secret in it."""
    if isinstance(value, Mapping):
        return {name: mask if _is_secret(name, each) else hidden(each, mask) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [hidden(each, mask) for each in value]
    if not isinstance(value, str):
        return value
    text = _ASSIGNED.sub(lambda found: f"{found['quoted'] or found['word']}{mask}{found['end'] or ''}", value)
    return _IN_ADDRESS.sub(lambda found: found[1] + mask, text)


def hidden_since(before: Any, after: Any) -> Any:
    """`after` as `hidden`; a secret that is another one than `before` in the same place says so, and nothing else."""
    if isinstance(after, Mapping):
        old = before if isinstance(before, Mapping) else {}
        return {
            name: (MASK_CHANGED if old.get(name) not in (None, "", each) else MASK)
            if _is_secret(name, each)
            else hidden_since(old.get(name), each)
            for name, each in after.items()
        }
    if isinstance(after, (list, tuple)):
        olds = list(before) if isinstance(before, (list, tuple)) else []
        return [hidden_since(_counterpart(each, olds), each) for each in after]
    return hidden(after, MASK_CHANGED if before != after and hidden(before) == hidden(after) else MASK)


def _counterpart(item: Any, olds: list[Any]) -> Any:
    """The same entry of another version of a list, or one that differs in its secrets alone."""
    alike = [each for each in olds if hidden(each) == hidden(item)]
    return item if item in olds else alike[0] if alike else None


def _is_secret(name: Any, value: Any) -> bool:
    return isinstance(value, str) and value != "" and SECRET_NAME.search(str(name)) is not None
