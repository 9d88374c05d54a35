"""What a person sees of a change: paths and masked values."""

from __future__ import annotations

from ansible_collections.pgherd.postgres.plugins.module_utils.difference import changed_fields, masked
from ansible_collections.pgherd.postgres.plugins.module_utils.overlay import merged


def test_paths_read_like_the_manifest() -> None:
    before = {"metadata": {"resourceVersion": "1", "labels": {"a/b": "x"}}, "spec": {"ports": [{"port": 1}], "old": 1}}
    after = {"metadata": {"resourceVersion": "2", "labels": {"a/b": "y"}}, "spec": {"ports": [{"port": 2}], "new": 1}}
    assert changed_fields(before, after) == ['metadata.labels["a/b"]', "spec.ports[0].port", "spec.old", "spec.new"]


def test_status_and_what_the_server_keeps_are_not_changes() -> None:
    before = {"metadata": {"generation": 1, "uid": "a"}, "status": {"replicas": 0}}
    assert changed_fields(before, {"metadata": {"generation": 2, "uid": "b"}, "status": {"replicas": 1}}) == []


def test_secrets_show_only_whether_a_value_changed() -> None:
    before = {"kind": "Secret", "data": {"same": "AAAA", "other": "AAAA"}}
    first, second = masked(before, {"kind": "Secret", "data": {"same": "AAAA", "other": "BBBB", "new": "CCCC"}})
    assert first["data"] == {"same": "********", "other": "********"}
    assert second["data"] == {"same": "********", "other": "******** (changed)", "new": "********"}


def test_overlays_merge_by_name_and_null_removes() -> None:
    value = {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "gone": 1, "args": ["x"]}
    change = {"env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}], "gone": None, "args": ["y"]}
    assert merged(value, change) == {
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"}],
        "args": ["y"],
    }


def test_mounts_merge_by_path() -> None:
    value = {"volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}
    change = {"volumeMounts": [{"name": "extra", "mountPath": "/extra"}]}
    assert [each["name"] for each in merged(value, change)["volumeMounts"]] == ["tmp", "extra"]
