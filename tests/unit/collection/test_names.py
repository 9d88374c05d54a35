"""Names that stay the same for ever, because volumes bear them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from itertools import repeat

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils import names


def test_members_are_named_by_a_digest_of_cluster_set_and_index() -> None:
    expected = base64.b32encode(hashlib.sha256(b"demo/instance1/0").digest()).decode().lower()[:4]
    found = names.member_names("demo", "instance1", 3)
    assert found[0] == f"demo-instance1-{expected}"
    assert found == ["demo-instance1-23r5", "demo-instance1-chbj", "demo-instance1-6flh"]


def test_more_replicas_keep_the_names_there_are() -> None:
    assert names.member_names("demo", "instance1", 5)[:3] == names.member_names("demo", "instance1", 3)


def test_a_collision_takes_the_next_four_characters() -> None:
    first, second = list(names.suffixes("demo", "instance1", 0))[:2]
    found = names.member_names("demo", "instance1", 1, taken=[f"demo-instance1-{first}"])
    assert found == [f"demo-instance1-{second}"]


def test_without_any_free_name_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def same(cluster: str, instance_set: str, index: int) -> Iterator[str]:
        return repeat("aaaa", 13)

    monkeypatch.setattr(names, "suffixes", same)
    with pytest.raises(ValueError, match="no free name for member 1"):
        names.member_names("demo", "a", 2)


def test_hosts_are_known_by_four_names() -> None:
    assert names.host_names("demo-primary", "databases", "cluster.local") == [
        "demo-primary.databases.svc.cluster.local",
        "demo-primary.databases.svc",
        "demo-primary.databases",
        "demo-primary",
    ]
