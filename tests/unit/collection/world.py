"""A cluster `demo` in memory with whoever acts on it: StatefulSets' controller, kubelets and agents, at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.pgherd.postgres.plugins.module_utils.client import APPLY
from ansible_collections.pgherd.postgres.plugins.module_utils.converge import Wanted, converge
from ansible_collections.pgherd.postgres.plugins.module_utils.names import path
from ansible_collections.pgherd.postgres.plugins.module_utils.rollout import Progress, advance
from ansible_collections.pgherd.postgres.plugins.module_utils.rollout_foreseen import RESTART
from ansible_collections.pgherd.postgres.plugins.module_utils.rollout_observe import Place, digest
from ansible_collections.pgherd.postgres.plugins.module_utils.rollout_plan import Step

from .memory import Memory
from .rendering import cluster, rendered

NAMESPACE, PREFIX = "databases", "pgherd.dev/"
BAD = "registry.example/bad:1"
"""An image with which no pod becomes ready."""


class World(Memory):
    def __init__(self) -> None:
        super().__init__()
        self.leader = ""
        self.running: dict[str, dict[str, Any]] = {}
        """By pod: the parameters that its PostgreSQL was started with."""
        self.story: list[str] = []
        """What happened to members, in order."""
        self.lingering: dict[str, int] = {}
        """By pod: for how many settlements it stays when it is deleted, as on a node that is slow, or down."""
        self.busy = False
        """Requests are begun and do not end."""
        self.storage_class: dict[str, Any] = {"allowVolumeExpansion": True}

    # The play.

    def declare(self, **changes: Any) -> Place:
        """Apply a declaration as role cluster does."""
        self.declared = declared = cluster(**changes)
        applied, once = rendered(declared)
        wanted = Wanted(
            NAMESPACE, declared["selector"], declared["owned"], applied, once, declared["patches"], declared["users"],
            "demo-ha-config", declared["conflict"], [], "demo-ha", declared["lock_kind"],
            keep_members=f"{PREFIX}instance",
        )  # fmt: skip
        converge(self, wanted, check=False)
        self.settle()
        return Place(NAMESPACE, "demo", declared["selector"], PREFIX, "Endpoints", declared["tags_by_pod"])

    def roll(self, place: Place, shutdown: bool = False, most: int = 30) -> list[str]:
        """Steps until nothing is left or nothing can be done, `most` at most."""
        done = list[str]()
        while len(done) < most:
            progress = self.step(place, shutdown)
            if progress.step is None:
                self.last = progress.plan
                return done
            done.append(said(progress.step))
            self.settle()
        return done

    def step(self, place: Place, shutdown: bool = False, limit: float = 60.0) -> Progress:
        return advance(self, place, shutdown, 0.0, lambda steps: None, limit)

    # Everybody else.

    def request(
        self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None, content: str = ""
    ) -> dict[str, Any]:
        if "storageclasses" in path:
            return self.storage_class
        kind, name = path.rsplit("/", 2)[1:]
        if method == "DELETE" and kind in ("pods", "statefulsets"):
            self.story.append(f"delete {kind} {name}")
            assert f"{name.removesuffix('-0')}-0" != self.leader or len(self.pods()) == 1, "the leader, while it leads"
        if content == APPLY and kind == "statefulsets":
            # A real one keeps what nobody applies.
            body = {
                **body,
                "spec": {"replicas": self.objects.get(path, body)["spec"].get("replicas", 1), **body["spec"]},
            }
        if method == "DELETE" and kind == "pods" and name in self.lingering:
            self._terminate(name)
            return {}
        found = super().request(method, path, body, query, content)
        if method == "PATCH" and name == "demo-ha-failover":
            self._answer(body["metadata"]["annotations"])
        if method == "PATCH" and kind == "statefulsets":
            self.settle()
        if method == "DELETE" and kind == "statefulsets":
            self._end(f"{name}-0")
        return found

    def _end(self, pod: str) -> bool:
        """Whether there was a pod, and it is not ending already."""
        if pod in self.lingering:
            return self._terminate(pod)
        return self.objects.pop(self._pod(pod), None) is not None

    def _terminate(self, pod: str) -> bool:
        found = self.objects.get(self._pod(pod))
        if found is None or "deletionTimestamp" in found["metadata"]:
            return False
        found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        found["status"]["conditions"][0]["status"] = "False"
        return True

    def pods(self) -> dict[str, dict[str, Any]]:
        return {each["metadata"]["name"]: each for each in self.objects.values() if each["kind"] == "Pod"}

    def settle(self) -> None:
        """Controllers, kubelets and agents have done what follows from the objects."""
        for name, pod in self.pods().items():
            if "deletionTimestamp" in pod["metadata"]:
                self.lingering[name] -= 1
                if self.lingering[name] <= 0:
                    del self.lingering[name], self.objects[self._pod(name)]
        for each in [item for item in self.objects.values() if item["kind"] == "StatefulSet"]:
            self._control(each)
        ready = [name for name, pod in self.pods().items() if _ready(pod)]
        if self.leader not in ready:
            self.leader = next(iter(ready), "")
        self._say()

    def _control(self, owner: dict[str, Any]) -> None:
        name = f"{owner['metadata']['name']}-0"
        text = json.dumps(owner["spec"]["template"], sort_keys=True)
        revision = hashlib.sha256(text.encode()).hexdigest()[:10]
        owner["status"] = {"observedGeneration": 0, "updateRevision": revision}
        where = self._pod(name)
        if owner["spec"].get("replicas", 1) == 0:
            if self._end(name):
                self.story.append(f"stop {name}")
        elif where not in self.objects:
            self._start(name, owner, revision)

    def _start(self, name: str, owner: Mapping[str, Any], revision: str) -> None:
        good = owner["spec"]["template"]["spec"]["containers"][0]["image"] != BAD
        labels = {**owner["spec"]["template"]["metadata"]["labels"], "controller-revision-hash": revision}
        self._store(self._pod(name), None, {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels, "uid": f"{name}-{self.version}"},
            "spec": {"nodeName": "node1"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True" if good else "False"}]},
        }, False, "controller")  # fmt: skip
        if good:
            self.running[name] = self._parameters()

    def _say(self) -> None:
        """Annotations of pods and lock, as the agents write them."""
        settings = digest(self.objects[path("ConfigMap", NAMESPACE, "demo-config")]["data"]["pgherd.yaml"])
        streaming = sorted(name for name, pod in self.pods().items() if _ready(pod) and name != self.leader)
        for name, pod in self.pods().items():
            if not _ready(pod):
                continue
            annotations = pod["metadata"].setdefault("annotations", {})
            before = json.loads(annotations.get(f"{PREFIX}status", "{}")).get("settings", settings)
            told = annotations.get(f"{PREFIX}settings")
            annotations[f"{PREFIX}status"] = json.dumps({
                "state": "running", "configuration": digest(self._config()), "seen": digest(self._config()),
                "settings": settings if told == settings else before, "refused": "",
                "streaming_from": self.leader if name in streaming else None, "pending_restart": self._pending(name),
            })  # fmt: skip
        lock = self.objects[path("Endpoints", NAMESPACE, "demo-ha")]["metadata"]["annotations"]
        lock.update(leader=self.leader or lock.get("leader", ""), transitions="1", released="" if self.leader else "1")
        lock["candidates"] = json.dumps([{"member": name, "incarnation": "i"} for name in streaming])

    def _config(self) -> str:
        found: str = self.objects[path("Endpoints", NAMESPACE, "demo-ha-config")]["metadata"]["annotations"]["config"]
        return found

    def _parameters(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._config())["postgresql"]["parameters"]
        return found

    def _pending(self, name: str) -> dict[str, list[str]]:
        old, new = self.running[name], self._parameters()
        return {each: [str(old.get(each, 100)), str(new.get(each, 100))] for each in sorted({*old, *new})
                if each in RESTART and old.get(each) != new.get(each)}  # fmt: skip

    def _answer(self, requests: Mapping[str, str]) -> None:
        book = self.objects[path("ConfigMap", NAMESPACE, "demo-ha-failover")]["metadata"]["annotations"]
        for name, text in requests.items():
            request = json.loads(text)
            self.story.append(f"{request['verb']} {request['member']}")
            if self.busy:
                book[name] = json.dumps({**request, "state": "running"})
                continue
            if request["verb"] == "switchover":
                self.running[self.leader] = self._parameters()  # it stops, and starts as a standby
                self.leader = request["member"]
            else:
                self.running[request["member"]] = self._parameters()
            book[name] = json.dumps({**request, "state": "done"})
        self.settle()

    def _pod(self, name: str) -> str:
        return path("Pod", NAMESPACE, name)


def _ready(pod: Mapping[str, Any]) -> bool:
    return bool(pod["status"]["conditions"][0]["status"] == "True")


def said(step: Step) -> str:
    return f"{step.kind} {' '.join(step.members)}"
