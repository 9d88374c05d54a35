"""Kubernetes in memory: as much of the API as the collection uses, behind the same seam."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.pgherd.postgres.plugins.module_utils.client import APPLY, JSON_PATCH, MERGE_PATCH, ApiError
from ansible_collections.pgherd.postgres.plugins.module_utils.names import KINDS

_KIND = {plural: kind for kind, (_, plural) in KINDS.items()}


class Memory:
    """Objects by path; every write that changes one gives it a new resourceVersion."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 0
        self.writes: list[tuple[str, str]] = []
        self.answers: dict[str, Any] = {}

    def request(
        self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None, content: str = ""
    ) -> dict[str, Any]:
        if path in self.answers:
            answer = self.answers[path]
            if isinstance(answer, ApiError):
                raise answer
            found: dict[str, Any] = answer(body) if callable(answer) else answer
            return copy.deepcopy(found)
        query = query or {}
        dry = query.get("dryRun") == "All" or (method == "DELETE" and "dryRun" in (body or {}))
        if method == "GET":
            return self._get(path, query)
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                raise ApiError(method, path, 409, "already exists")
            return self._store(path, None, copy.deepcopy(body), dry, query["fieldManager"])
        if path not in self.objects and content != APPLY:
            raise ApiError(method, path, 404, "not found")
        if method == "DELETE":
            if not dry:
                self.writes.append((method, path))
                del self.objects[path]
            return {}
        return self._patch(path, body, content, dry, query["fieldManager"])

    def watch(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        return iter(())

    def _get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        plural = path.rsplit("/", 1)[1]
        if plural not in _KIND:
            if path not in self.objects:
                raise ApiError("GET", path, 404, "not found")
            return copy.deepcopy(self.objects[path])
        wanted = [part.split("=") for part in query.get("labelSelector", "").split(",") if part]
        everywhere = "/namespaces/" not in path
        items = [
            copy.deepcopy(each)
            for at, each in self.objects.items()
            if at.rsplit("/", 1)[0] == path or (everywhere and at.rsplit("/", 2)[1] == plural)
        ]
        items = [each for each in items if all(_selects(each, *words) for words in wanted)]
        version = KINDS[_KIND[plural]][0].removeprefix("/apis/").removeprefix("/api/")
        return {"apiVersion": version, "kind": f"{_KIND[plural]}List", "items": items}

    def _patch(self, path: str, body: Any, content: str, dry: bool, manager: str) -> dict[str, Any]:
        live = self.objects.get(path)
        after = copy.deepcopy(live or {})
        if content == JSON_PATCH:
            for operation in body:
                *parents, last = operation["path"].strip("/").split("/")
                target = after
                for name in parents:
                    target = target[name]
                if operation["op"] == "replace":
                    target[last] = copy.deepcopy(operation["value"])
                elif operation["op"] == "remove":
                    del target[last]
                elif target[last] != operation["value"]:
                    raise ApiError("PATCH", path, 409, "test failed")
        elif content == MERGE_PATCH:
            version = body["metadata"].get("resourceVersion")
            if version not in (None, after["metadata"]["resourceVersion"]):
                raise ApiError("PATCH", path, 409, "the object has been modified")
            _merge(after, body)
        else:
            _merge(after, body)
        return self._store(path, live, after, dry, manager)

    def _store(
        self, path: str, live: dict[str, Any] | None, after: dict[str, Any], dry: bool, manager: str
    ) -> dict[str, Any]:
        metadata = after["metadata"]
        metadata.setdefault("uid", f"uid-{path}")
        metadata.setdefault("managedFields", [])
        if after["kind"] == "Service" and after["spec"].get("clusterIP") is None:
            after["spec"]["clusterIP"] = "10.96.0.10"
        if manager not in {each["manager"] for each in metadata["managedFields"]}:
            metadata["managedFields"].append({"manager": manager})
        if live != after and not dry:
            self.version += 1
            metadata["resourceVersion"] = str(self.version)
            self.objects[path] = copy.deepcopy(after)
            self.writes.append(("WRITE", path))
        return copy.deepcopy(after)

    def versions(self) -> dict[str, str]:
        return {path: each["metadata"]["resourceVersion"] for path, each in self.objects.items()}


def _selects(item: Mapping[str, Any], name: str, *value: str) -> bool:
    """Whether a label has the value, or is there at all."""
    labels = item["metadata"].get("labels") or {}
    return name in labels and (not value or labels[name] == value[0])


def _merge(target: dict[str, Any], change: Mapping[str, Any]) -> None:
    for name, value in change.items():
        if isinstance(value, Mapping) and isinstance(target.get(name), dict):
            _merge(target[name], value)
        else:
            target[name] = json.loads(json.dumps(value))
