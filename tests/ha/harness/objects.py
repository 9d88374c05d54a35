"""The cluster's objects as the play would make them, and each Pod object as a kubelet would keep it.

A container is shown as terminated only when the harness has waited for the end of its pid namespace;
silence is never turned into a status.
"""

from __future__ import annotations

import base64
import datetime
import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml
from lightkube import Client, KubeConfig
from lightkube.models.authentication_v1 import TokenRequestSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources import core_v1, rbac_authorization_v1
from lightkube.types import PatchType

from pgherd.model.access import Report, read_report, revision
from tests.ha.harness.lock import LockObjects

PREFIX = "pgherd.dev/"
USERS = ("demo", "app", "heir")
"""Whose Secrets the agents may read."""


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class PodObject:
    """What the API shows of a member's pod; `show` writes it."""

    member: str
    address: str
    uid: str = ""
    restarts: int = 0
    container: str = ""
    started: str = ""
    last: dict[str, Any] | None = None
    ended: dict[str, Any] | None = None
    labels: dict[str, str] = field(default_factory=dict)

    def status(self) -> dict[str, Any]:
        state: dict[str, Any] = {"terminated": self.ended} if self.ended else {"running": {"startedAt": self.started}}
        shown = {
            "name": "database", "image": "pgherd", "imageID": "pgherd", "ready": self.ended is None,
            "restartCount": self.restarts, "containerID": self.container, "state": state,
            "lastState": {"terminated": self.last} if self.last else {},
        }  # fmt: skip
        return {
            "phase": "Running",
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "containerStatuses": [shown],
        }


class Objects:
    """One cluster in a namespace of its own."""

    def __init__(self, kubeconfig: Path, cluster: str, namespace: str, mode: str = "endpoints") -> None:
        self.kubeconfig, self.cluster, self.namespace = kubeconfig, cluster, namespace
        self.client = Client(config=KubeConfig.from_file(kubeconfig), namespace=namespace, trust_env=False)
        self.locks = LockObjects(self.client, cluster, mode)

    @property
    def server(self) -> str:
        return str(self.client.config.cluster.server)

    def create(self, configuration: dict[str, Any], ttl: float) -> None:
        """Namespace, rights, lock and configuration objects."""
        self.client.create(core_v1.Namespace(metadata=ObjectMeta(name=self.namespace)))
        for account in ("default", f"{self.cluster}-instance"):
            self.client.create(core_v1.ServiceAccount(metadata=ObjectMeta(name=account)))
        self._rights()
        self.locks.create(configuration, ttl)
        for name in ("ha-failover", "status"):
            self.client.create(core_v1.ConfigMap(metadata=ObjectMeta(name=f"{self.cluster}-{name}")))

    def configure(self, configuration: dict[str, Any]) -> None:
        """As a person's change of the dynamic configuration."""
        self.locks.configure(configuration)

    def trigger(self, **annotations: str) -> None:
        """As a person who knows Patroni asks for a switchover or failover."""
        body = {"metadata": {"annotations": annotations}}
        self.client.patch(core_v1.ConfigMap, f"{self.cluster}-ha-failover", body, patch_type=PatchType.MERGE)

    def triggers(self) -> dict[str, str]:
        """What of that is left."""
        metadata = self.client.get(core_v1.ConfigMap, f"{self.cluster}-ha-failover").metadata
        there = (metadata.annotations or {}) if metadata else {}
        return {name: text for name, text in there.items() if not name.startswith("request-")}

    def _rights(self) -> None:
        """Exactly what the play grants the agents."""
        name = f"{self.cluster}-instance"
        rules = [
            *self.locks.rules(),
            PolicyRule(
                ["get", "patch", "watch", "list"],
                apiGroups=[""],
                resources=["configmaps"],
                resourceNames=[f"{self.cluster}-ha-failover"],
            ),
            PolicyRule(
                ["get", "patch"], apiGroups=[""], resources=["configmaps"], resourceNames=[f"{self.cluster}-status"]
            ),
            PolicyRule(["get", "list", "watch", "patch"], apiGroups=[""], resources=["pods"]),
            PolicyRule(
                ["get", "list", "watch", "patch"],
                apiGroups=[""],
                resources=["configmaps"],
                resourceNames=[f"{self.cluster}-users"],
            ),
            PolicyRule(
                ["get", "list", "watch"],
                apiGroups=[""],
                resources=["secrets"],
                resourceNames=[f"{self.cluster}-pguser-{user}" for user in USERS],
            ),
        ]
        self.client.create(rbac_authorization_v1.Role(metadata=ObjectMeta(name=name), rules=rules))
        self.client.create(
            rbac_authorization_v1.RoleBinding(
                metadata=ObjectMeta(name=name),
                roleRef=RoleRef(apiGroup="rbac.authorization.k8s.io", kind="Role", name=name),
                subjects=[Subject(kind="ServiceAccount", name=name, namespace=self.namespace)],
            )
        )

    def agent_kubeconfig(self) -> str:
        """For the agents: the service account's token, the server as everybody else dials it."""
        request = core_v1.ServiceAccountToken(
            metadata=ObjectMeta(), spec=TokenRequestSpec(audiences=[], expirationSeconds=7200)
        )
        granted = self.client.create(request, f"{self.cluster}-instance").status
        assert granted is not None
        data = yaml.safe_load(self.kubeconfig.read_text())
        cluster = data["clusters"][0]["cluster"]
        if "certificate-authority" in cluster:
            authority = (self.kubeconfig.parent / cluster.pop("certificate-authority")).read_bytes()
            cluster["certificate-authority-data"] = base64.b64encode(authority).decode()
        named = {
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "agent", "user": {"token": granted.token}}],
        }
        context = {"name": "lab", "context": {"cluster": "lab", "user": "agent", "namespace": self.namespace}}
        return yaml.safe_dump(
            {"apiVersion": "v1", "kind": "Config", **named, "contexts": [context], "current-context": "lab"}
        )

    # Users, as the play declares them.

    def secret(self, user: str, data: dict[str, str]) -> None:
        """Made, or replaced."""
        secret = core_v1.Secret(metadata=ObjectMeta(name=f"{self.cluster}-pguser-{user}"), stringData=data)
        self.client.apply(secret, field_manager="play", force=True)

    def declare(self, **declared: Any) -> str:
        """Users and databases; the revision by which a report names them."""
        text, name = json.dumps(declared), f"{self.cluster}-users"
        # Not the whole object: the agents' annotation stays.
        self.client.apply(
            core_v1.ConfigMap(metadata=ObjectMeta(name=name), data={"users": text}), field_manager="play", force=True
        )
        return revision(text)

    def report(self) -> Report | None:
        metadata = self.client.get(core_v1.ConfigMap, f"{self.cluster}-users").metadata
        return read_report((metadata.annotations or {}).get("status")) if metadata else None

    # Pods, as a kubelet keeps them.

    def create_pod(self, pod: PodObject) -> None:
        labels = {f"{PREFIX}cluster": self.cluster, f"{PREFIX}data": "postgres", **pod.labels}
        body = {
            "metadata": {"name": pod.member, "labels": labels},
            "spec": {"nodeName": f"node-{pod.member}", "containers": [{"name": "database", "image": "pgherd"}]},
        }
        made = self.client.create(msgspec.convert(body, core_v1.Pod))
        assert made.metadata is not None
        pod.uid = str(made.metadata.uid)

    def started(self, pod: PodObject) -> None:
        """A new container runs: the one before becomes lastState."""
        if pod.container:
            pod.restarts += 1
            pod.last = pod.ended
        pod.container, pod.started, pod.ended = f"harness://{uuid.uuid4()}", now(), None
        self.show(pod)

    def ended(self, pod: PodObject, status: int) -> None:
        """Its pid namespace is empty: only now may a kubelet say so."""
        pod.ended = {
            "exitCode": status, "reason": "Completed" if status == 0 else "Error",
            "startedAt": pod.started, "finishedAt": now(), "containerID": pod.container,
        }  # fmt: skip
        self.show(pod)

    def show(self, pod: PodObject) -> None:
        body = {"status": pod.status()}
        self.client.patch(core_v1.PodStatus, pod.member, body, patch_type=PatchType.MERGE)

    # What the agents wrote.

    def lock(self) -> Any:
        return self.locks.lock()

    def annotations(self) -> dict[str, str]:
        metadata = self.lock().metadata
        return dict(metadata.annotations or {}) if metadata else {}

    def address(self) -> str | None:
        return self.locks.address()

    def history(self) -> list[dict[str, Any]]:
        return self.locks.history()

    def role(self, member: str) -> str:
        metadata = self.client.get(core_v1.Pod, member).metadata
        return (metadata.labels or {}).get(f"{PREFIX}role", "") if metadata else ""

    def close(self) -> None:
        self.client.delete(core_v1.Namespace, self.namespace)
        self.client.close()
