"""The declaration's object and Secrets as the agents see them."""

from __future__ import annotations

from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Secret

from pgherd.kubernetes.store import UsersSeen
from pgherd.kubernetes.users import secret_seen, users_seen
from pgherd.model.access import SecretSeen


def test_text_and_report_are_read_with_the_version() -> None:
    item = ConfigMap(metadata=ObjectMeta(resourceVersion="7", annotations={"status": "{}"}), data={"users": "text"})
    assert users_seen(item) == UsersSeen("7", "text", "{}")
    assert users_seen(ConfigMap(metadata=ObjectMeta(resourceVersion="7"))) == UsersSeen("7")
    assert users_seen(None) == UsersSeen()


def test_a_secrets_values_are_bytes_and_garbage_is_left_out() -> None:
    item = Secret(metadata=ObjectMeta(resourceVersion="7"), data={"password": "Z2VoZWlt", "odd": "%%%"})
    assert secret_seen(item) == SecretSeen("7", {"password": b"geheim"})
    assert secret_seen(Secret(metadata=ObjectMeta(resourceVersion="7"))) == SecretSeen("7", {})
    assert secret_seen(None) is None
