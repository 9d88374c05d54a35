# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An operator's change of the dynamic configuration: merged into what is there, checked, written by compare-and-swap.

Only annotation `config` moves. What the inventory said last (`config-applied`) stays, so that the next run of the play
sees a change of the cluster's, and keeps it (configuration.merge).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from .apply import Outcome, Refused
from .checks import given
from .client import MERGE_PATCH, Api, ApiError
from .configuration import ATTEMPTS, CONFIG, annotated
from .lease import first_of
from .names import CONFIGURATION_KINDS, FIELD_MANAGER, path
from .parameters import parameter_problem
from .synchronous import synchronous_problem
from .timing import timing_problem

NUMBERS = (
    "early_takeover_delay", "hook_timeout", "loop_wait", "maximum_lag_on_failover", "member_slots_ttl",
    "primary_start_timeout", "primary_stop_timeout", "retry_timeout", "ttl",
)  # fmt: skip
BOOLEANS = ("allow_data_loss_reclone", "failsafe_mode", "pause", "synchronous_mode_strict")
MAPPINGS = ("permanent_replication_slots", "permanent_slots", "postgresql", "slots", "standby_cluster")
# Patroni's others, too: what pgherd makes of each is in docs/settings.md.
OTHERS = (
    "check_timeline", "clone_methods", "ignore_slots", "master_start_timeout", "master_stop_timeout",
    "max_timelines_history", "maximum_lag_on_syncnode", "primary_race_backoff", "synchronous_mode",
    "synchronous_node_count",
)  # fmt: skip
KNOWN = tuple(sorted((*NUMBERS, *BOOLEANS, *MAPPINGS, *OTHERS)))


def read(api: Api, namespace: str, cluster: str, lock_kind: str | None) -> dict[str, Any]:
    """The object that has it. Raises Refused when there is none."""
    kinds = [CONFIGURATION_KINDS[lock_kind]] if lock_kind else list(CONFIGURATION_KINDS.values())
    found = first_of(api, namespace, f"{cluster}-ha-config", kinds)
    if found is None:
        raise Refused(
            f"there is no cluster {cluster} in namespace {namespace}: no {' or '.join(kinds)} {cluster}-ha-config. "
            "playbooks/site.yml makes it"
        )
    return found


def settings(live: Mapping[str, Any]) -> dict[str, Any]:
    return annotated(live, CONFIG)


def merged(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` over `before`: dictionaries are merged, null removes, everything else replaces."""
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


def problems(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """What no agent would obey, each with field, value and what is allowed. What was there already is not judged."""
    for name, value in after.items():
        if before.get(name) == value:
            continue
        if name not in KNOWN:
            nearest = difflib.get_close_matches(name, KNOWN, 1)
            guess = f"did you mean {nearest[0]}? " if nearest else ""
            yield f"{given(name, value)}: no such setting; {guess}known are {', '.join(KNOWN)}"
        elif name in NUMBERS and (isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0):
            yield f"{given(name, value)}: must be a number of at least 0"
        elif name in BOOLEANS and not isinstance(value, bool):
            yield f"{given(name, value)}: must be true or false"
        elif name in MAPPINGS and not isinstance(value, Mapping):
            yield f"{given(name, value)}: must be a dictionary"
    old, new = _parameters(before), _parameters(after)
    for name, value in new.items():
        refusal = parameter_problem(name, value) if old.get(name) != value else None
        if refusal:
            yield f"{given(f'postgresql.parameters.{name}', value)}: {refusal}"


def _parameters(configuration: Mapping[str, Any]) -> Mapping[str, Any]:
    postgresql = configuration.get("postgresql")
    found = postgresql.get("parameters") if isinstance(postgresql, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def checked(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with the changes. Raises Refused with everything that is wrong with it."""
    after = merged(before, changes)
    found = list(problems(before, after))
    whole = timing_problem(after) or synchronous_problem(after)
    if whole and not any(each.split("=")[0] == whole.split("=")[0] for each in found):
        found.append(whole)
    if found:
        raise Refused("; ".join(found) + ". Nothing was changed.")
    return after


def change(
    api: Api, namespace: str, cluster: str, lock_kind: str | None, changes: Mapping[str, Any], check: bool
) -> tuple[Outcome, dict[str, Any], dict[str, Any]]:
    """What became of the object, and the configuration before and after. Raises Refused, ApiError."""
    for _attempt in range(ATTEMPTS):
        live = read(api, namespace, cluster, lock_kind)
        kind, name = live["kind"], live["metadata"]["name"]
        before = settings(live)
        after = checked(before, changes)
        if after == before:
            return Outcome(kind, name, "unchanged", after=live), before, after
        annotations = {CONFIG: json.dumps(after, sort_keys=True)}
        patch = {"metadata": {"resourceVersion": live["metadata"]["resourceVersion"], "annotations": annotations}}
        query = {"fieldManager": FIELD_MANAGER, **({"dryRun": "All"} if check else {})}
        try:
            written = api.request("PATCH", path(kind, namespace, name), patch, query, MERGE_PATCH)
        except ApiError as error:
            if error.status != 409:
                raise
            continue
        return Outcome(kind, name, "changed", (f"metadata.annotations.{CONFIG}",), live, written), before, after
    raise Refused(
        f"{cluster}-ha-config was written by others {ATTEMPTS} times in a row; nothing was changed, try again"
    )


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of what differs, in reading order."""
    found = list[str]()
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += changed_keys(old, new, f"{prefix}{name}.")
        elif old != new or (name in before) != (name in after):
            found.append(prefix + name)
    return found
