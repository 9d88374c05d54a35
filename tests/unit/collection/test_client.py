"""What a person reads when there is no way to the API: the host, the file, the reason; never a secret."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils.client import (
    ApiError,
    KubernetesApi,
    Unreachable,
    no_configuration,
)
from kubernetes.client import Configuration


@contextmanager
def server(status: int, message: str) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps({"kind": "Status", "message": message}).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        listening.server_close()


def api(host: str) -> KubernetesApi:
    configuration = Configuration()
    configuration.host = host
    configuration.api_key = {"authorization": "Bearer hunter2"}
    return KubernetesApi(configuration, {})


def test_nobody_there_is_said_with_the_host() -> None:
    with server(200, "") as host:
        pass
    with pytest.raises(Unreachable, match=f"the Kubernetes API at {host} cannot be reached: .*refused"):
        api(host).request("GET", "/version")


def test_an_account_that_is_not_known_is_said_so() -> None:
    with server(401, "Unauthorized") as host, pytest.raises(Unreachable) as caught:
        api(host).request("GET", "/version")
    assert str(caught.value) == f"the Kubernetes API at {host} does not know this account: Unauthorized"


def test_a_refusal_says_what_was_asked_and_the_servers_reason() -> None:
    with server(403, "pods is forbidden") as host, pytest.raises(ApiError) as caught:
        api(host).request("GET", "/api/v1/pods")
    assert str(caught.value) == "GET /api/v1/pods: pods is forbidden (HTTP 403)"


def test_a_missing_kubeconfig_is_named_with_what_to_do() -> None:
    said = no_configuration({"kubeconfig": "/no/such", "context": "east"}, ValueError("No configuration found.\n"))
    assert said.startswith(
        "No way to reach a Kubernetes API was found in kubeconfig /no/such, context east: No configuration found. Set"
    )
    assert "hunter2" not in no_configuration({"kubeconfig": {"users": "hunter2"}}, ValueError("bad"))
