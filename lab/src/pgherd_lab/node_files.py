"""The configuration of a node's programs. Written before each start of the node, into the node's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from pgherd_lab import network
from pgherd_lab.archive import SANDBOX
from pgherd_lab.paths import Layout

# Inside the node: /run is its own, and what must survive is bound there, so that paths are short and the same.
HOME = "/run/lab"
SOCKET = "/run/containerd/containerd.sock"
NEVER_EVICT_FOR = ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available")


def containerd() -> str:
    """containerd's configuration, version 3. restrict_oom_score_adj: where CAP_SYS_RESOURCE is missing."""
    return f"""\
version = 3
root = "{HOME}/containerd"
state = "/run/containerd"

[grpc]
  address = "{SOCKET}"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{SANDBOX}"

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "{HOME}/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
    SystemdCgroup = false
"""


def cni(node: str) -> dict[str, Any]:
    """A bridge per node with the node's share of addresses; other nodes' shares are routes of the node."""
    ipam = {
        "type": "host-local",
        "dataDir": "/run/cni-addresses",
        "ranges": [[{"subnet": network.pods(node)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipMasq": False, "ipam": ipam,
    }  # fmt: skip
    return {"cniVersion": "1.0.0", "name": "lab", "plugins": [bridge]}


def kubelet(layout: Layout, node: str) -> dict[str, Any]:
    """See https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": f"{layout.pki}/ca.crt"},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "tlsCertFile": f"{layout.pki}/{node}.crt",
        "tlsPrivateKeyFile": f"{layout.pki}/{node}.key",
        "clusterDNS": [network.DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "resolvConf": "/dev/null",
        "failSwapOn": False,
        "nodeStatusUpdateFrequency": "2s",
        "nodeStatusReportFrequency": "2s",
        "nodeLeaseDurationSeconds": 10,
        "containerLogMaxSize": "5Mi",
        "containerLogMaxFiles": 2,
        # The disk is the machine's: nothing is evicted and no image removed because others fill it.
        "evictionHard": dict.fromkeys(NEVER_EVICT_FOR, "0%"),
        "imageGCHighThresholdPercent": 100,
        "serializeImagePulls": True,
    }  # fmt: skip


def proxy(layout: Layout, node: str) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": network.address(node),
        "metricsBindAddress": "127.0.0.1:10249",
        "clientConnection": {"kubeconfig": str(layout.inside("proxy"))},
        "clusterCIDR": network.PODS,
        "hostnameOverride": node,
        "conntrack": {"maxPerCore": 0, "min": 0},
    }


def programs(layout: Layout, node: str, folder: Path) -> dict[str, list[str]]:
    """Command lines of what runs in a node; the first words are programs of the lab."""
    return {
        "containerd": ["containerd", "-c", f"{HOME}/containerd.toml"],
        "kube-proxy": ["kube-proxy", "--config", f"{HOME}/proxy.yaml"],
        "kubelet": [
            "kubelet", "--config", f"{HOME}/kubelet.yaml", "--kubeconfig", str(layout.inside(node)),
            "--hostname-override", node, "--node-ip", network.address(node), "--root-dir", f"{HOME}/kubelet",
        ],
    }  # fmt: skip


def write(folder: Path, node: str, layout: Layout, bin_folder: Path) -> None:
    for name in ("containerd", "kubelet", "log", "cni", "volumes"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "containerd.toml").write_text(containerd())
    (folder / "cni" / "10-bridge.conflist").write_text(json.dumps(cni(node)))
    (folder / "kubelet.yaml").write_text(yaml.safe_dump(kubelet(layout, node)))
    (folder / "proxy.yaml").write_text(yaml.safe_dump(proxy(layout, node)))
    (folder / "programs.json").write_text(json.dumps(programs(layout, node, folder)))
