"""DNS and storage of the lab's cluster: the objects, and the two programs that serve them.

CoreDNS and local-path-provisioner are processes in the control plane's namespace, not pods, so that a broken node
takes neither with it. They live from `up` to `down`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from pgherd_lab import network, process
from pgherd_lab.api import Api
from pgherd_lab.archive import SANDBOX
from pgherd_lab.controlplane import ControlPlane
from pgherd_lab.node_files import HOME
from pgherd_lab.paths import Layout

SYSTEM = "kube-system"
PROVISIONER = "rancher.io/local-path"
CONFIG = "local-path-config"
SETUP = '#!/bin/sh\nset -eu\nmkdir -m 0777 -p "$VOL_DIR"\nchmod 0777 "$VOL_DIR"\n'
TEARDOWN = '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n'


def helper_pod() -> dict[str, Any]:
    """The pod that makes and removes a volume's folder on its node."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {
            "priorityClassName": "system-node-critical",
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "helper-pod", "image": SANDBOX, "imagePullPolicy": "Never"}],
        },
    }


def storage_config() -> dict[str, Any]:
    return {"nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [f"{HOME}/volumes"]}]}


def dns_service() -> dict[str, Any]:
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "kube-dns", "namespace": SYSTEM},
        "spec": {"clusterIP": network.DNS_SERVICE, "ports": ports},
    }  # fmt: skip


def dns_endpoints() -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns", "namespace": SYSTEM, "labels": {"kubernetes.io/service-name": "kube-dns"},
        },
        "addressType": "IPv4",
        "ports": [
            {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        ],
        "endpoints": [{"addresses": [network.CONTROL], "conditions": {"ready": True}}],
    }  # fmt: skip


def storage_class() -> dict[str, Any]:
    mark = {"storageclass.kubernetes.io/is-default-class": "true"}
    return {
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": "local-path", "annotations": mark}, "provisioner": PROVISIONER,
        "volumeBindingMode": "WaitForFirstConsumer", "reclaimPolicy": "Delete", "allowVolumeExpansion": True,
    }  # fmt: skip


def storage_scripts() -> dict[str, Any]:
    data = {
        "config.json": json.dumps(storage_config()), "setup": SETUP, "teardown": TEARDOWN,
        "helperPod.yaml": yaml.safe_dump(helper_pod()),
    }  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIG, "namespace": SYSTEM},
        "data": data,
    }


def storage_account() -> dict[str, Any]:
    name = "local-path-provisioner-service-account"
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": SYSTEM}}


def objects() -> dict[str, dict[str, Any]]:
    """Path in the API -> object."""
    core = f"/api/v1/namespaces/{SYSTEM}"
    found: dict[str, dict[str, Any]] = {}
    for path, document in (
        (f"{core}/services", dns_service()),
        (f"/apis/discovery.k8s.io/v1/namespaces/{SYSTEM}/endpointslices", dns_endpoints()),
        ("/apis/storage.k8s.io/v1/storageclasses", storage_class()),
        (f"{core}/configmaps", storage_scripts()),
        (f"{core}/serviceaccounts", storage_account()),
    ):
        found[f"{path}/{document['metadata']['name']}"] = document
    return found


def corefile(layout: Layout) -> str:
    return f"""\
.:53 {{
  bind {network.CONTROL}
  errors
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {layout.inside("addons")} lab
    ttl 1
  }}
}}
"""


def start(control: ControlPlane, api: Api) -> list[process.Record]:
    """Apply the objects and start both programs."""
    for path, document in objects().items():
        api.apply(path, document)
    folder = control.layout.state / "addons"
    folder.mkdir(exist_ok=True)
    (folder / "Corefile").write_text(corefile(control.layout))
    (folder / "storage.json").write_text(json.dumps(storage_config()))
    (folder / "helper.yaml").write_text(yaml.safe_dump(helper_pod()))
    return [control.program("dns", "coredns", "-conf", str(folder / "Corefile")), _storage(control, folder)]


def _storage(control: ControlPlane, folder: Path) -> process.Record:
    return control.program(
        "storage", "local-path-provisioner", "start", "--config", str(folder / "storage.json"),
        "--provisioner-name", PROVISIONER, "--namespace", SYSTEM, "--configmap-name", CONFIG,
        "--kubeconfig", str(control.layout.inside("addons")), "--helper-image", SANDBOX,
        "--helper-pod-file", str(folder / "helper.yaml"),
    )  # fmt: skip
