"""`/metrics` for Prometheus: what the agent has in memory, what it counted, and what PostgreSQL answered just now.

Text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/). prometheus_client is imported when
somebody asks: members that nobody scrapes do not carry it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pgherd.model.metrics import Family, Sample
from pgherd.rest import gauges, patroni_metrics
from pgherd.rest.source import StatusSource

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
COMMON = ("cluster", "member")


def render(source: StatusSource, found: Iterable[Sample]) -> bytes:
    """The whole answer; `found` are PostgreSQL's statistics."""
    from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
    from prometheus_client.registry import Collector

    now, found = gauges.Now.of(source), tuple(found)
    own = (source.cluster_name, now.status.member)
    ours = (*gauges.samples(now), *source.counts(), *found)
    theirs = tuple(patroni_metrics.samples(source.cluster_name, now, found))

    class Collected(Collector):
        def collect(self) -> Iterator[Metric]:
            yield from _metrics(ours, COMMON, own)
            yield from _metrics(theirs, (), ())
            for metric in ProcessCollector(registry=None).collect():
                yield _labelled(metric, dict(zip(COMMON, own, strict=True)))

    registry = CollectorRegistry()
    registry.register(Collected())
    return generate_latest(registry)


def _labelled(metric: Metric, labels: dict[str, str]) -> Metric:
    """The agent's own CPU time, memory and files, by the names that every Prometheus knows."""
    metric.samples = [sample._replace(labels={**labels, **sample.labels}) for sample in metric.samples]
    return metric


def _metrics(samples: Iterable[Sample], names: tuple[str, ...], values: tuple[str, ...]) -> Iterator[Metric]:
    """One for each family, with all of its samples: the format wants them together."""
    from prometheus_client.metrics_core import Metric

    made: dict[Family, Metric] = {}
    for sample in samples:
        family = sample.family
        if family not in made:
            made[family] = Metric(family.name.removesuffix("_total"), family.text, family.kind)
        labels = zip((*names, *family.labels), (*values, *sample.labels), strict=True)
        made[family].add_sample(family.name, dict(labels), sample.value)
    yield from made.values()
