"""Memory, CPU and requests as the kernel and the API server write them down."""

from __future__ import annotations

import json
import os

from benchmarks.failover import cost


def test_pss_is_the_whole_processs_share() -> None:
    text = "55d0-7ffc ---p 00000000 00:00 0 [rollup]\nRss:  30000 kB\nPss:  12345 kB\nPss_Dirty:  99 kB\n"
    assert cost.pss(text) == 12345 * 1024


def test_cpu_counts_user_and_system_whatever_the_name_is() -> None:
    tick = os.sysconf("SC_CLK_TCK")
    text = f"77 (a ) b) S 1 2 3 4 5 6 7 8 9 10 {3 * tick} {tick} 500 500 20 0 1 0 99"
    assert cost.cpu(text) == 4


def entry(user: str, verb: str, resource: str, namespace: str = "bench-pgherd") -> str:
    what = {"resource": resource, "namespace": namespace}
    return json.dumps({"user": {"username": user}, "verb": verb, "objectRef": what})


def test_requests_are_counted_by_who_asked() -> None:
    own, other = "system:serviceaccount:bench-pgherd:app", "system:serviceaccount:bench-pgherd-2:app"
    lines = [
        *[entry(own, "patch", "endpoints")] * 6, *[entry(own, "get", "endpoints")] * 2, entry(own, "watch", "pods"),
        entry(other, "patch", "endpoints", "bench-pgherd-2"), entry(cost.MIRROR, "update", "endpointslices"),
        entry(cost.MIRROR, "get", "endpointslices"), entry(cost.MIRROR, "update", "endpointslices", "other"), '{"user',
    ]  # fmt: skip
    assert cost.requests(lines, "bench-pgherd", 2.0) == {
        "requests": 4.5, "writes": 3.0, "mirrored_writes": 0.5,
        "by_kind": {"get endpoints": 1.0, "patch endpoints": 3.0, "watch pods": 0.5},
    }  # fmt: skip


def test_the_policy_keeps_only_the_contenders() -> None:
    rules = cost.audit_policy(["pgherd", "patroni-default"])["rules"]
    assert rules[0]["userGroups"] == [
        "system:serviceaccounts:bench-pgherd",
        "system:serviceaccounts:bench-patroni-default",
    ]
    assert rules[-1] == {"level": "None"}
