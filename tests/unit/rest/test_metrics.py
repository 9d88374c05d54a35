"""What Prometheus reads: names, types and values, from the same words that the other paths show."""

from __future__ import annotations

import re

from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from pgherd.model.lease import Candidate
from pgherd.model.member import Peer, Pod
from pgherd.model.metrics import Family, Sample
from pgherd.model.settings import Configuration
from pgherd.model.synchronous import Standby, Synchronous
from pgherd.postgres.measure.gather import FAMILIES as MEASURED
from pgherd.postgres.measure.queries import SERVER
from pgherd.rest import gauges, metrics, patroni_metrics
from pgherd.runtime import tally
from tests.unit.rest.stand_ins import LEASE, MB, PRIMARY, REPLICA, Source

EVERYTHING: tuple[Family, ...] = (*gauges.FAMILIES, *tally.FAMILIES, *MEASURED)


def shown(source: Source) -> dict[tuple[str, tuple[str, ...]], float]:
    """Value by name and own labels, common ones left out; every line parsed as a scraper does."""
    found = {}
    for metric in text_string_to_metric_families(metrics.render(source, source.measured).decode()):
        for sample in metric.samples:
            if sample.name.startswith("pgherd_"):
                labels = dict(sample.labels)
                assert (labels.pop("cluster"), labels.pop("member")) == ("demo", source.status.member)
                key = sample.name, tuple(labels.values())
                assert key not in found, f"{key} is there twice"
                found[key] = sample.value
    return found


def test_every_family_has_a_name_that_says_kind_and_unit() -> None:
    names = [family.name for family in (*EVERYTHING, *patroni_metrics.FAMILIES)]
    assert len(names) == len(set(names))
    for family in EVERYTHING:
        assert re.fullmatch(r"pgherd_[a-z][a-z_]*[a-z]", family.name), family.name
        assert (family.kind == "counter") == family.name.endswith("_total"), family.name
        assert not re.search(r"_(ms|milliseconds|mb|kb|minutes|percent)\b|_(ms|mb|kb)$", family.name), family.name
        assert family.text.endswith(".") and not set(family.labels) & set(metrics.COMMON), family.name


def test_what_a_family_says_is_what_is_shown() -> None:
    counter = Family("pgherd_things_total", "counter", "Things.", ("kind",))
    source = Source(counted=[Sample(counter, 3.0, ("a",)), Sample(counter, 4.0, ("b",))])
    text = metrics.render(source, []).decode()
    assert "# TYPE pgherd_things_total counter" in text and "# TYPE pgherd_primary gauge" in text
    assert shown(source)["pgherd_things_total", ("b",)] == 4.0
    assert 'process_cpu_seconds_total{cluster="demo",member="demo-a-0"}' in text


def test_lease_and_set_are_read_from_the_record() -> None:
    names = (Standby("demo-b-0", "i2"),)
    lease = replace(
        LEASE,
        candidates=(Candidate("demo-b-0", "i2"),),
        sync=Synchronous("on", Standby("demo-a-0", "i1"), names, 1),
        pause=True,
    )
    status = replace(REPLICA, incarnation="i2")
    peers = (Peer(Pod("demo-a-0", "uid-a"), PRIMARY), Peer(Pod("demo-c-0", "uid-c")))
    source = Source(
        status, lease, others=peers, configuration=Configuration(synchronous_mode="on", synchronous_node_count=2)
    )
    found = shown(source)
    for name, value in [
        ("candidate", 1), ("candidates", 1), ("synchronous_standbys", 1), ("synchronous_standbys_wanted", 2),
        ("sync_standby", 1), ("paused", 1), ("lease_ttl_seconds", 10), ("lease_age_seconds", 1.5),
        ("members_declared", 3),
    ]:  # fmt: skip
        assert found[f"pgherd_{name}", ()] == value, name
    assert found["pgherd_peer_answers", ("demo-a-0",)] == 1 and found["pgherd_peer_answers", ("demo-c-0",)] == 0
    assert found["pgherd_member_state", ("running",)] == 1


def test_the_newest_receipt_tells_the_last_change_and_all_of_them() -> None:
    receipt = {
        "epoch": 9, "detected": "2026-01-02T03:04:05.000000+00:00", "first_write": "2026-01-02T03:04:07.500000+00:00",
        "at_risk_bytes": 72, "changes": {"failover": 4, "switchover": 2},
    }  # fmt: skip
    found = shown(Source(receipts=[{"epoch": 8}, receipt]))
    assert found["pgherd_last_leader_change_timestamp_seconds", ()] == 1767323047.5
    assert found["pgherd_last_leader_change_duration_seconds", ()] == 2.5
    assert found["pgherd_last_leader_change_at_risk_bytes", ()] == 72
    kinds = {kind: found["pgherd_leader_changes_total", (kind,)] for kind in gauges.CHANGES}
    assert kinds == {"failover": 4, "switchover": 2, "in_place": 0}


def test_a_history_that_somebody_edited_silences_nobody() -> None:
    for receipts in ([], ["x"], [{}], [{"changes": 5, "detected": None, "first_write": "never"}]):
        found = shown(Source(receipts=receipts))
        assert found["pgherd_leader_changes_total", ("failover",)] == 0
        assert ("pgherd_last_leader_change_timestamp_seconds", ()) not in found


def test_a_history_that_was_not_read_yet_is_not_one_without_changes() -> None:
    found = shown(Source(history_known=False))
    assert not any(name == "pgherd_leader_changes_total" for name, _ in found)


def test_patronis_names_say_the_same() -> None:
    started = next(family for family in SERVER.families if family.name == "pgherd_postgres_start_time_seconds")
    source = Source(replace(REPLICA, failsafe=True), measured=[Sample(started, 1767323047.0)])
    lines = metrics.render(source, source.measured).decode().splitlines()
    for name, value in [
        ("postgres_running", 1), ("replica", 1), ("primary", 0), ("xlog_received_location", 49 * MB),
        ("xlog_replayed_location", 46 * MB), ("postgres_timeline", 2), ("failsafe_mode_is_active", 1),
        ("postmaster_start_time", 1767323047), ("cluster_unlocked", 0),
    ]:  # fmt: skip
        line = next(line for line in lines if line.startswith(f"patroni_{name}{{"))
        assert 'scope="demo"' in line and 'name="demo-b-0"' in line and float(line.split()[-1]) == value


def test_counters_are_there_before_anything_has_happened() -> None:
    counts = tally.Tally()
    before = {(each.family.name, each.labels): each.value for each in counts.samples()}
    assert set(before.values()) == {0.0}
    assert {name for name, _ in before} == {family.name for family in tally.FAMILIES}
    counts.add(tally.WRITES, "renew", tally.CONFIRMED)
    for status in (0, 1, -9):
        counts.exited(status)
    after = {(each.family.name, each.labels): each.value for each in counts.samples()}
    assert after.keys() == before.keys()
    assert after["pgherd_lease_writes_total", ("renew", "confirmed")] == 1
    assert {after["pgherd_postgres_exits_total", (how,)] for how in ("clean", "error", "signal")} == {1}
