# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`postgres_monitoring`: how Prometheus finds the members and gets the alert rules. Nothing of it runs anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .checks import Problems

FIELDS = ("annotations", "interval", "labels", "pod_monitor", "rules")
DURATION = re.compile(r"[1-9]\d*(ms|s|m|h)")
LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def monitoring(given: Any, port: int, problems: Problems) -> dict[str, Any]:
    """All fields, whether given or not. `kinds` are the custom resources that the play applies for it."""
    where = "postgres_monitoring"
    fields = problems.fields(where, given, FIELDS)
    chosen: dict[str, Any] = {
        each: problems.boolean(f"{where}.{each}", fields.get(each, False))
        for each in ("annotations", "pod_monitor", "rules")
    }
    interval = fields.get("interval", "")
    if interval:
        problems.pattern(f"{where}.interval", interval, DURATION, "must be a duration such as 30s or 1m")
    chosen |= {"interval": interval, "labels": _labels(f"{where}.labels", fields.get("labels", {}), problems)}
    if (interval or chosen["labels"]) and not (chosen["pod_monitor"] or chosen["rules"]):
        needless = "interval" if interval else "labels"
        problems.add(f"{where}.{needless}", fields[needless], "needs pod_monitor or rules")
    kinds = {"PodMonitor": chosen["pod_monitor"], "PrometheusRule": chosen["rules"]}
    chosen["pod_annotations"] = scrape_annotations(port) if chosen["annotations"] else {}
    return {**chosen, "kinds": [kind for kind, wanted in kinds.items() if wanted]}


def scrape_annotations(port: int) -> dict[str, str]:
    """The customary ones: no standard, but what the examples of Prometheus' own repository go by."""
    found = {"scrape": "true", "scheme": "https", "port": str(port), "path": "/metrics"}
    return {f"prometheus.io/{name}": value for name, value in found.items()}


def _labels(where: str, given: Any, problems: Problems) -> Mapping[str, Any]:
    labels = problems.mapping(where, given)
    for name, value in labels.items():
        if not isinstance(name, str) or not LABEL_KEY.fullmatch(name):
            problems.add(f"{where}.{name}", value, "the name must be one that Kubernetes takes for a label")
        elif not isinstance(value, str) or not LABEL_VALUE.fullmatch(value):
            problems.add(f"{where}.{name}", value, "must be up to 63 of letters, digits, -, _ and .")
    return labels
