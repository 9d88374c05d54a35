"""What check mode says of values that only a run would get: that they come later, never something made up."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils.apply import Outcome, apply
from ansible_collections.pgherd.postgres.plugins.module_utils.converge import converge
from ansible_collections.pgherd.postgres.plugins.module_utils.difference import LATER
from ansible_collections.pgherd.postgres.plugins.module_utils.reporting import report

from .memory import Memory
from .test_converge import BASE, made, moved, wanted

SECRET = f"{BASE}/secrets/demo-pguser-demo"


def foreseen(api: Memory, **changes: Any) -> dict[tuple[str, str], Outcome]:
    return {(each.kind, each.name): each for each in converge(api, wanted(**changes), check=True)}


def test_an_address_that_a_dry_run_answers_is_not_shown() -> None:
    outcomes = foreseen(Memory())
    assert outcomes["Service", "demo-ha"].after["spec"]["clusterIP"] == LATER  # type: ignore[index]
    assert outcomes["Service", "demo-primary"].after["spec"]["clusterIP"] == "None"  # type: ignore[index]
    endpoints = outcomes["Endpoints", "demo-primary"].after
    assert endpoints is not None and endpoints["subsets"][0]["addresses"] == [{"ip": LATER}]


@pytest.mark.parametrize(("asked", "shown"), [({}, LATER), ({"nodePort": 30432}, 30432)])
def test_a_node_port_is_shown_only_when_it_was_asked_for(asked: dict[str, int], shown: Any) -> None:
    class Allocating(Memory):
        def request(self, method: str, path: str, body: Any = None, query: Any = None, content: str = "") -> Any:
            port = {**body["spec"]["ports"][0], "nodePort": 30432}
            return {**body, "spec": {**body["spec"], "clusterIP": "10.96.0.0", "clusterIPs": ["10.96.0.0"],
                                     "ports": [port]}}  # fmt: skip

    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "demo-ha", "namespace": "databases"},
        "spec": {"type": "NodePort", "ports": [{"name": "postgres", "port": 5432, **asked}]},
    }  # fmt: skip
    spec = apply(Allocating(), service, None, check=True).after["spec"]  # type: ignore[index]
    assert (spec["clusterIP"], spec["clusterIPs"], spec["ports"][0]["nodePort"]) == (LATER, [LATER], shown)


def test_a_blanked_password_changes_the_fields_that_the_run_then_changes() -> None:
    api = made()
    api.objects[SECRET]["data"]["password"] = ""
    api.objects[SECRET]["data"]["added-by-hand"] = "eA=="
    api.objects[SECRET]["metadata"]["labels"]["team"] = "blue"
    expected = tuple(f"data.{name}" for name in ("jdbc-uri", "password", "uri", "verifier"))
    planned = foreseen(api)["Secret", "demo-pguser-demo"]
    assert sorted(planned.fields) == list(expected)
    (done,) = [each for each in converge(api, wanted(), check=False) if each.moved]
    assert sorted(done.fields) == list(expected)
    assert api.objects[SECRET]["metadata"]["labels"]["team"] == "blue"
    assert moved(converge(api, wanted(), check=False)) == {}


def test_kubectls_copy_of_a_secret_is_masked_as_well() -> None:
    api = made()
    secret = api.objects[SECRET]
    copy = json.dumps({"stringData": {"password": "of-the-person"}})
    secret["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": copy}
    secret["data"] |= {"password": base64.b64encode(b"of-the-person").decode(), "verifier": ""}
    for check in (True, False):
        text = json.dumps(report(converge(api, wanted(), check), "databases", diff=True))
        assert "changed Secret demo-pguser-demo" in text and "of-the-person" not in text


def test_the_type_of_a_secret_that_was_there_stays() -> None:
    api = made()
    api.objects[SECRET]["type"] = "example.org/user"
    assert moved(converge(api, wanted(), check=False)) == {}
    assert api.objects[SECRET]["type"] == "example.org/user"
