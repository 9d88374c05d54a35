"""The alert rules and the dashboard, by Prometheus' own tool: each rule fires on what it is for, and not before."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pgherd.postgres.measure.gather import FAMILIES as MEASURED
from pgherd.rest import gauges, patroni_metrics
from pgherd.runtime import tally
from tests.promtool import promtool

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "roles/cluster/files/alerts.yaml"
SHOWN = {family.name for family in (*gauges.FAMILIES, *patroni_metrics.FAMILIES, *tally.FAMILIES, *MEASURED)}
MARKER = 'cluster=~".+"'
GB = 1 << 30
MEMBERS = ("demo-a-0", "demo-b-0", "demo-c-0")

Series = Mapping[str, str]
"""Values in promtool's notation by `name member` or `name member label=value`; `*` is every member."""

HEALTHY: Series = {
    "up *": "1", "members_declared *": "3", "primary demo-a-0": "1", "primary demo-b-0": "0", "primary demo-c-0": "0",
    "replica demo-a-0": "0", "replica demo-b-0": "1", "replica demo-c-0": "1", "streaming demo-a-0": "0",
    "streaming demo-b-0": "1", "streaming demo-c-0": "1", "postgres_running *": "1", "lease_age_seconds *": "2",
    "lease_ttl_seconds *": "10", "failsafe *": "0", "candidates *": "2", "paused *": "0", "pending_restart *": "0",
    "configuration_refused *": "0", "leader_changes_total * kind=failover": "4",
    "leader_changes_total * kind=switchover": "2", "leader_changes_total * kind=in_place": "1",
    "fence_kills_total *": "0", "replay_lag_bytes demo-b-0": "1000", "replay_lag_bytes demo-c-0": "0",
    "postgres_replay_lag_seconds demo-b-0": "0", "postgres_replay_lag_seconds demo-c-0": "900",
    "synchronous_standbys *": "1", "synchronous_standbys_wanted *": "1", "postgres_scrape_success *": "1",
    "volume_free_bytes * volume=pgdata": f"{6 * GB}", "volume_size_bytes * volume=pgdata": f"{10 * GB}",
    "postgres_slot_retained_bytes * slot=x": f"{GB}", "postgres_slot_lost * slot=x": "0",
    "postgres_archive_failing *": "0", "postgres_archive_ready_files *": "2",
    "certificate_expiry_timestamp_seconds * kind=server": f"{400 * 86400}",
    "certificate_current * kind=server": "1",
    "postgres_connections * state=active": "20", "postgres_connections * state=idle": "30",
    "postgres_connections_max *": "100", "postgres_connections_reserved *": "3",
    "postgres_longest_transaction_seconds *": "60",
    "postgres_frozen_transaction_age * database=demo": "200000000",
    "postgres_frozen_multixact_age * database=demo": "5000",
    "postgres_checksum_failures_total * database=demo": "0",
}  # fmt: skip


class Case(NamedTuple):
    """From minute 10 on `broken` replaces some of HEALTHY: silent `silent` minutes later, firing `firing` later."""

    alert: str
    broken: Series
    silent: int
    firing: int
    labels: Mapping[str, str] = {}


A = {"member": "demo-a-0"}
B = {"member": "demo-b-0"}
VOLUME = {**A, "volume": "pgdata"}
CASES = (
    Case("PgherdClusterUnseen", {"up *": "stale"}, 4, 12),
    Case("PgherdNoPrimary", {"primary demo-a-0": "0"}, 0, 2),
    Case("PgherdTwoPrimaries", {"primary demo-b-0": "1"}, 1, 4),
    Case("PgherdLeaseNotRenewed", {"lease_age_seconds *": "21"}, 0, 2),
    Case("PgherdFailsafe", {"failsafe demo-a-0": "1"}, 1, 4),
    Case("PgherdNoCandidate", {"candidates *": "0"}, 4, 7),
    Case("PgherdMemberMissing", {"up demo-c-0": "stale"}, 4, 12),
    Case("PgherdLeaderChanged", {"leader_changes_total * kind=failover": "5"}, -1, 2, {"kind": "failover"}),
    Case("PgherdLeaderChanged", {"leader_changes_total * kind=in_place": "2"}, -1, 2, {"kind": "in_place"}),
    Case("PgherdFenceKilled", {"fence_kills_total demo-a-0": "1"}, -1, 2, A),
    Case("PgherdReplicaNotStreaming", {"streaming demo-b-0": "0"}, 4, 7, B),
    Case("PgherdReplicaLag", {"replay_lag_bytes demo-b-0": f"{GB}"}, 4, 7, B),
    Case("PgherdReplayDelayed", {"postgres_replay_lag_seconds demo-b-0": "301"}, 4, 7, B),
    Case("PgherdSynchronousStandbyMissing", {"synchronous_standbys *": "0"}, 4, 7),
    Case("PgherdPaused", {"paused *": "1"}, 239, 242),
    Case("PgherdPendingRestart", {"pending_restart demo-b-0": "1"}, 1439, 1442, B),
    Case("PgherdConfigurationRefused", {"configuration_refused demo-b-0": "1"}, 4, 7, B),
    Case("PgherdScrapeFailing", {"postgres_scrape_success demo-b-0": "0"}, 4, 7, B),
    Case("PgherdVolumeFilling", {"volume_free_bytes demo-a-0 volume=pgdata": f"{GB}"}, 4, 7, VOLUME),
    Case("PgherdVolumeFull", {"volume_free_bytes demo-a-0 volume=pgdata": f"{GB // 4}"}, 0, 2, VOLUME),
    Case("PgherdSlotRetainsWal", {"postgres_slot_retained_bytes demo-a-0 slot=x": f"{3 * GB}"}, 14, 17,
         {**A, "slot": "x"}),
    Case("PgherdSlotLost", {"postgres_slot_lost demo-a-0 slot=x": "1"}, 0, 2, {**A, "slot": "x"}),
    Case("PgherdArchiveFailing", {"postgres_archive_failing *": "1"}, 9, 12, A),
    Case("PgherdArchiveBehind", {"postgres_archive_ready_files *": "101"}, 14, 17, A),
    Case("PgherdCertificateExpiring", {"certificate_expiry_timestamp_seconds * kind=server": f"{29 * 86400}"},
         59, 62, {"kind": "server"}),
    Case("PgherdCertificateExpired",
         {"certificate_expiry_timestamp_seconds demo-b-0 kind=server": f"{2 * 86400}"}, 4, 7,
         {"kind": "server"}),
    Case("PgherdCertificateRefused", {"certificate_current demo-b-0 kind=server": "0"}, 9, 12, {**B, "kind": "server"}),
    Case("PgherdConnectionsNearLimit", {"postgres_connections demo-a-0 state=idle": "63"}, 4, 7, A),
    Case("PgherdLongTransaction", {"postgres_longest_transaction_seconds demo-a-0": "4000"}, 4, 7, A),
    Case("PgherdWraparound", {"postgres_frozen_transaction_age * database=demo": "1200000000"}, 59, 62,
         {"database": "demo"}),
    Case("PgherdWraparound", {"postgres_frozen_multixact_age * database=demo": "1200000000"}, 59, 62,
         {"database": "demo"}),
    Case("PgherdWraparoundNear", {"postgres_frozen_transaction_age * database=demo": "1800000000"}, 4, 7,
         {"database": "demo"}),
    Case("PgherdChecksumFailure", {"postgres_checksum_failures_total demo-a-0 database=demo": "2"}, -1, 2,
         {**A, "database": "demo"}),
)  # fmt: skip
BROKEN = 10
LONG = 1000


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def spread(series: Series) -> dict[str, str]:
    """One entry for each member's series, in PromQL's notation."""
    found = {}
    for key, value in series.items():
        name, member, *label = key.split(" ")
        for each in MEMBERS if member == "*" else (member,):
            more = "".join(f',{part.partition("=")[0]}="{part.partition("=")[2]}"' for part in label)
            found[f'pgherd_{name}{{namespace="databases",cluster="demo",member="{each}"{more}}}'] = value
    return found


def inputs(broken: Series, minutes: int) -> list[dict[str, str]]:
    changed = spread(broken)
    values = {}
    for key, value in spread(HEALTHY).items():
        then = changed.get(key, value)
        values[key] = f"{value}x{BROKEN - 1} {then if then == 'stale' else f'{then}x{minutes}'}"
    assert changed.keys() <= values.keys(), "a case breaks only what is there when all is well"
    # A day of everything takes promtool ten seconds: there what is broken is enough.
    return [{"series": key, "values": value} for key, value in values.items() if minutes < LONG or key in changed]


def firing(minute: int, samples: list[dict[str, Any]], alert: str = "") -> dict[str, Any]:
    chosen = f',alertname="{alert}"' if alert else ""
    return {"expr": f'ALERTS{{alertstate="firing"{chosen}}}', "eval_time": f"{minute}m", "exp_samples": samples}


def group(case: Case) -> dict[str, Any]:
    return {
        "name": f"{case.alert} on {next(iter(case.broken))}",
        "interval": "1m",
        "input_series": inputs(case.broken, case.firing + 5),
        "promql_expr_test": [
            firing(BROKEN + case.silent, [], case.alert),
            firing(BROKEN + case.firing, [sample(case)], case.alert),
        ],
    }


def run(tmp_path: Path, rule_file: Path, *tests: dict[str, Any]) -> None:
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(rule_file)], "evaluation_interval": "1m", "tests": list(tests)}))
    done = subprocess.run([str(promtool()), "test", "rules", str(file)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def severity(alert: str) -> str:
    return str(next(rule["labels"]["severity"] for rule in rules() if rule["alert"] == alert))


def sample(case: Case) -> dict[str, Any]:
    labels = {"alertname": case.alert, "alertstate": "firing", "severity": severity(case.alert)}
    if case.alert != "PgherdClusterUnseen":
        labels |= {"namespace": "databases", "cluster": "demo"}
    text = ",".join(f'{name}="{value}"' for name, value in sorted({**labels, **case.labels}.items()))
    return {"labels": f"ALERTS{{{text}}}", "value": 1}


def test_the_rules_are_rules() -> None:
    done = subprocess.run([str(promtool()), "check", "rules", str(RULES)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_fires_while_all_is_well(tmp_path: Path) -> None:
    tests = [firing(minute, []) for minute in (1, 10, 60, 300)]
    run(tmp_path, RULES, {"interval": "1m", "input_series": inputs({}, 300), "promql_expr_test": tests})


def test_every_alert_has_a_case() -> None:
    assert {case.alert for case in CASES} == {rule["alert"] for rule in rules()}


def test_an_alert_fires_on_what_it_is_for_and_not_before(tmp_path: Path) -> None:
    """All in one run of promtool, which names each case that is otherwise."""
    run(tmp_path, RULES, *(group(case) for case in CASES))


def test_what_an_alert_says_names_the_cluster_and_the_value(tmp_path: Path) -> None:
    alert = {
        "eval_time": f"{BROKEN + 7}m", "alertname": "PgherdReplicaLag",
        "exp_alerts": [{
            "exp_labels": {"namespace": "databases", "cluster": "demo", "member": "demo-b-0", "severity": "warning"},
            "exp_annotations": {
                "summary": "A replica lags", "description": "demo-b-0 of demo is 1GiB behind.",
            },
        }],
    }  # fmt: skip
    series = inputs({"replay_lag_bytes demo-b-0": f"{GB}"}, 10)
    run(tmp_path, RULES, {"interval": "1m", "input_series": series, "alert_rule_test": [alert]})


def names(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:pgherd|patroni)_[a-z_]*[a-z]", expression))


def known(expression: str) -> bool:
    """Every name in it is shown by an agent; a pattern has to match at least one."""
    patterns = re.findall(r'__name__=~"([^"]+)"', expression)
    plain = re.sub(r'__name__=~"[^"]+"', "", expression)
    return names(plain) <= SHOWN and all(any(re.fullmatch(each, name) for name in SHOWN) for each in patterns)


def test_rules_use_only_what_the_agents_show() -> None:
    for rule in rules():
        assert known(rule["expr"]), rule["expr"]


def test_every_selector_can_be_narrowed_to_one_cluster() -> None:
    """A PrometheusRule of one cluster must not speak of another one's members."""
    for rule in rules():
        found = len(re.findall(r"\bpgherd_[a-z_]*[a-z]\{|\{__name__", rule["expr"]))
        assert found == rule["expr"].count(MARKER) > 0, rule["expr"]
