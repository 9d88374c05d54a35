"""The contenders are what the table says that they are."""

from __future__ import annotations

import click
import pytest
import yaml

from benchmarks.failover import contenders, faults, image, objects, patroni
from benchmarks.failover.__main__ import split


def test_patronis_default_variant_sets_no_timing_of_its_own() -> None:
    read = yaml.safe_load(patroni.configuration({}, {}))
    assert read["bootstrap"]["dcs"] == {"postgresql": {"use_pg_rewind": True}}
    assert "basebackup" not in read["postgresql"]


def test_the_aggressive_variant_keeps_the_rules_by_which_patroni_would_change_it() -> None:
    given = contenders.AGGRESSIVE
    assert given["ttl"] >= 20 and given["loop_wait"] >= 1 and given["retry_timeout"] >= 3
    assert given["loop_wait"] + 2 * given["retry_timeout"] <= given["ttl"]
    read = yaml.safe_load(patroni.configuration(given, contenders.FAST_CLONE))
    assert read["bootstrap"]["dcs"].items() >= given.items()
    assert read["postgresql"]["basebackup"] == [{"checkpoint": "fast"}]


def test_the_image_has_the_version_that_the_comparison_is_about() -> None:
    assert image.pins()["patroni"] == "4.1.5"
    assert image.reference("localhost/pgherd:a") != image.reference("localhost/pgherd:b")


def test_every_contender_has_a_namespace_of_its_own_and_the_same_resources() -> None:
    found = contenders.contenders("agent", "patroni", "kubeconfig")
    assert tuple(found) == contenders.NAMES
    assert len({each.namespace for each in found.values()}) == len(found)
    assert patroni.container("patroni")["resources"] == objects.RESOURCES


def test_members_are_found_by_name_whatever_their_address() -> None:
    found = contenders.contenders("agent", "patroni", "kubeconfig")
    assert contenders.hosts(found["pgherd"], ["m"]) == {"m": "m.app-pods.bench-pgherd.svc.cluster.local"}
    names = contenders.hosts(found["patroni-default"], ["m"])
    assert names == {"m": "m.patroni-pods.bench-patroni-default.svc.cluster.local"}


def test_nothing_given_means_everything() -> None:
    assert split("", faults.NAMES, "fault") == list(faults.NAMES)


def test_names_come_in_the_order_of_the_comparison() -> None:
    assert split("kill-node, switchover", faults.NAMES, "fault") == ["switchover", "kill-node"]


def test_an_unknown_name_is_refused_with_what_there_is() -> None:
    with pytest.raises(click.BadParameter, match="kill-nod: no such fault; there are none, switchover"):
        split("kill-nod", faults.NAMES, "fault")
