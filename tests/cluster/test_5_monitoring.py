"""What the inventory asks for Prometheus: refused without the operator's kinds, made with them, scraped as it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from pgherd_lab.demo.console import output
from tests.cluster.stage import Stage

WANTED = ("-e", json.dumps({"postgres_monitoring": {"pod_monitor": True, "rules": True}}))
GROUP = "monitoring.coreos.com"


def definition(kind: str) -> dict[str, object]:
    """As little of the operator's CustomResourceDefinition as the API server needs to keep such objects."""
    plural = f"{kind.lower()}s"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP, "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}],
        },
    }  # fmt: skip


def rights(namespace: str) -> list[dict[str, object]]:
    """What docs/monitoring.md asks for beside docs/role.yaml, for the account of the plays."""
    metadata = {"name": "pgherd-play-monitoring", "namespace": namespace}
    api = "rbac.authorization.k8s.io"
    verbs = ["get", "list", "create", "patch", "delete"]
    rules = [{"apiGroups": [GROUP], "resources": ["podmonitors", "prometheusrules"], "verbs": verbs}]
    return [
        {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": metadata, "rules": rules},
        {
            "apiVersion": f"{api}/v1", "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": api, "kind": "Role", "name": metadata["name"]},
            "subjects": [{"kind": "ServiceAccount", "name": "pgherd-play", "namespace": namespace}],
        },
    ]  # fmt: skip


@pytest.fixture
def kinds(cluster: Stage) -> Iterator[None]:
    cluster.cluster.apply(*rights(cluster.namespace))
    wanted = [definition(kind) for kind in ("PodMonitor", "PrometheusRule")]
    text = yaml.safe_dump_all(wanted)
    output((*cluster.kubectl, "apply", "-f", "-"), stdin=text)
    output((*cluster.kubectl, "wait", "--for=condition=Established", "--timeout=60s", "-f", "-"), stdin=text)
    yield
    output((*cluster.kubectl, "delete", "-f", "-"), stdin=text)


def test_without_the_operators_kinds_nothing_is_changed(cluster: Stage) -> None:
    play = cluster.play("site", *WANTED)
    assert play.code != 0 and play.changed == 0, play.text
    assert "postgres_monitoring.pod_monitor" in play.text and "does not know the kind PodMonitor" in play.text


def scraped(cluster: Stage, pod: dict[str, Any], endpoint: dict[str, Any]) -> str:
    """As Prometheus does it: by address, the certificate verified under the name that the PodMonitor gives."""
    ports = [port for container in pod["spec"]["containers"] for port in container["ports"]]
    port = next(each["containerPort"] for each in ports if each["name"] == endpoint["port"])
    ca = endpoint["tlsConfig"]["ca"]["secret"]
    authority = cluster.cluster.get("secret", ca["name"])["data"][ca["key"]]
    script = (
        "import base64, socket, ssl\n"
        f"context = ssl.create_default_context(cadata=base64.b64decode('{authority}').decode())\n"
        f"plain = socket.create_connection(('{pod['status']['podIP']}', {port}), 20)\n"
        f"tls = context.wrap_socket(plain, server_hostname='{endpoint['tlsConfig']['serverName']}')\n"
        f"tls.sendall(b'GET {endpoint['path']} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')\n"
        "print(b''.join(iter(lambda: tls.recv(65536), b'')).decode())"
    )
    return cluster.cluster.execute(pod["metadata"]["name"], "python3", "-c", script)


def test_a_pod_monitor_finds_what_the_pods_serve(cluster: Stage, kinds: None) -> None:
    play = cluster.play("site", *WANTED)
    assert play.code == 0 and play.changed == 1, play.text
    monitor = cluster.cluster.get("podmonitor", "demo")["spec"]
    assert "demo" in cluster.cluster.get("prometheusrule", "demo")["spec"]["groups"][0]["rules"][0]["expr"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    labels = ",".join(f"{name}={value}" for name, value in monitor["selector"]["matchLabels"].items())
    pods = json.loads(output((*cluster.cluster.kubectl, "get", "pods", "-l", labels, "-o", "json")))["items"]
    assert len(pods) == 3
    for pod in pods:
        said = scraped(cluster, pod, endpoint)
        assert said.startswith("HTTP/1.1 200") and "pgherd_postgres_scrape_success{" in said
        assert f'member="{pod["metadata"]["name"]}"' in said
    assert cluster.play("site").changed == 1  # no longer asked for: both are deleted
    assert cluster.play("site").changed == 0
