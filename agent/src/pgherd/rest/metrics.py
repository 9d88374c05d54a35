"""`/metrics` for Prometheus, from what the agent has in memory (https://prometheus.io/docs/instrumenting/exposition_formats/).

prometheus_client is imported when somebody asks: members that nobody scrapes do not carry it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pgherd.model.certificate import CertificateState
from pgherd.model.slots import SlotState
from pgherd.rest.health import lag, streams_from_holder, synchronous_role
from pgherd.rest.source import StatusSource

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def gauges(source: StatusSource) -> Iterator[tuple[str, str, float]]:
    """Name without prefix, help, value. A value that is not known is left out."""
    status, lease = source.member(), source.lease()
    yield "up", "The agent answers.", 1
    yield "postgres_running", "PostgreSQL accepts connections.", status.role in ("primary", "replica")
    yield "primary", "PostgreSQL accepts writes.", status.role == "primary"
    yield "replica", "PostgreSQL runs as a standby.", status.role == "replica"
    yield "streaming", "Streams from the holder of the lease on its timeline.", streams_from_holder(status, lease)
    named = synchronous_role(status, lease)
    yield "sync_standby", "The lease says that it has every acknowledged commit.", named == "sync_standby"
    yield "quorum_standby", "The lease says that it is one of those of which enough have.", named == "quorum_standby"
    yield "postgres_server_version", "server_version_num, 0 when unknown.", status.server_version
    yield "terminating", "The agent was told to stop.", status.terminating
    yield "pending_restart", "Parameters wait for a restart of PostgreSQL.", bool(status.pending_restart)
    yield "configuration_refused", "The configuration is not in force here; GET /member says why.", bool(status.refused)
    yield "decision_age_seconds", "Seconds since the agent's last decision.", source.decided_ago()
    yield "lease_known", "The lock object could be read.", lease is not None
    yield "lease_epoch", "The largest epoch seen.", status.epoch_seen
    yield "lease_held", "This member holds the lease by its own clock.", status.holds_until > 0
    yield "lease_seconds_left", "Seconds for which its own lease is valid, 0 without one.", status.holds_until
    yield "failsafe", "It holds the lease by promises: the API does not confirm renewals.", status.failsafe
    yield "promised_seconds_left", "Seconds for which it has promised not to take the lease.", status.promised_until
    if lease is not None:
        yield "paused", "The holder has recorded a pause.", lease.pause
    if status.position is not None:
        yield "timeline", "Timeline of the newest WAL.", status.position.timeline
        yield "wal_position_bytes", "Newest WAL written or received.", status.position.lsn
        yield "wal_replayed_bytes", "Newest WAL replayed.", status.replayed
    access = source.access()
    if access is not None:
        wrong = len(access.wrong) + bool(access.trouble)
        yield "users_wrong", "Declared users and databases that are not as declared; pgherd users says why.", wrong
        yield "users_repaired", "Changes of users and databases by hand that were put back.", access.repaired
    behind = lag(status, lease)
    if status.role == "replica" and behind is not None:
        yield "lag_bytes", "WAL not received, against the position that the holder last published.", behind
        yield "replay_lag_bytes", "WAL not replayed, against the same.", lag(status, lease, applied=True) or 0


def certificates(
    names: Sequence[str], values: Sequence[str], kinds: Mapping[str, CertificateState]
) -> Iterator[Metric]:  # fmt: skip
    """One series for each kind of certificate that the member uses."""
    from prometheus_client.metrics_core import GaugeMetricFamily

    labels = [*names, "kind"]
    ends = GaugeMetricFamily(
        "pgherd_certificate_expiry_timestamp_seconds", "When the certificate in use expires.", labels=labels
    )
    well = GaugeMetricFamily(
        "pgherd_certificate_current", "What is mounted is in use; else GET /member says why not.", labels=labels
    )
    for kind, each in sorted(kinds.items()):
        if each.expires is not None:
            ends.add_metric([*values, kind], float(each.expires))
        well.add_metric([*values, kind], float(not each.refused))
    yield ends
    yield well


class _Collector:
    def __init__(self, source: StatusSource) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily

        status = self._source.member()
        names, values = ("cluster", "member"), (self._source.cluster_name, status.member)
        info = InfoMetricFamily("pgherd", "The agent.", labels=names)
        info.add_metric(values, {"version": status.version})
        yield info
        for name, text, value in gauges(self._source):
            gauge = GaugeMetricFamily(f"pgherd_{name}", text, labels=names)
            gauge.add_metric(values, float(value))
            yield gauge
        yield from self._slots(status.slots)
        yield from certificates(names, values, status.certificates)

    def _slots(self, slots: Mapping[str, SlotState]) -> Iterator[Metric]:
        """One series for each slot that the member should have."""
        from prometheus_client.metrics_core import GaugeMetricFamily

        labels = ["cluster", "member", "slot", "type", "state"]
        at = GaugeMetricFamily("pgherd_slot_position_bytes", "Up to where WAL is no longer held.", labels=labels[:4])
        well = GaugeMetricFamily("pgherd_slot_kept", "The slot is as it should be; else see its state.", labels=labels)
        for name, slot in sorted(slots.items()):
            values = (self._source.cluster_name, self._source.member().member, name, slot.kind)
            at.add_metric(values, slot.position)
            well.add_metric((*values, slot.state), float(slot.state == "kept"))
        yield at
        yield well


def render(source: StatusSource) -> bytes:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class Registered(_Collector, Collector):
        pass

    registry = CollectorRegistry()
    registry.register(Registered(source))
    return generate_latest(registry)
