"""etcd, API server, controller manager and scheduler: in the control plane's namespace, from `up` to `down`.

Every command line is here and nowhere else. `stop-api` and `start-api` end and start the API server alone.
"""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from pgherd_lab import certificates, network, process
from pgherd_lab.paths import Layout

ETCD = "http://127.0.0.1:2379"
API_NAMES = (
    "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
)  # fmt: skip
API_ADDRESSES = ("127.0.0.1", network.CONTROL, network.API_SERVICE)
CLIENTS = {
    "admin": ("pgherd-lab-admin", "system:masters"),
    "kubelet-client": ("kube-apiserver-kubelet-client", "system:masters"),
    "controllers": ("system:kube-controller-manager", None),
    "scheduler": ("system:kube-scheduler", None),
    "proxy": ("system:kube-proxy", None),
    "addons": ("pgherd-lab-addons", "system:masters"),
}


def write_identities(layout: Layout, nodes: list[str], port: int) -> None:
    """Keys, certificates and kubeconfigs of all components, and the administrator's for 127.0.0.1:`port`."""
    pki = layout.pki
    pki.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca = certificates.authority()
    certificates.save(pki, "ca", ca)
    server = certificates.subject("kube-apiserver")
    certificates.save(pki, "server", certificates.issue(ca, server, API_NAMES, API_ADDRESSES))
    if not (pki / "accounts.key").exists():
        key = ec.generate_private_key(ec.SECP256R1())
        certificates.write(pki / "accounts.key", certificates.private_pem(key))
        certificates.write(pki / "accounts.pub", certificates.public_pem(key))
    for who, (common, organisation) in CLIENTS.items():
        pair = certificates.issue(ca, certificates.subject(common, organisation))
        certificates.save(pki, who, pair)
        certificates.write(layout.inside(who), certificates.kubeconfig(network.API, ca.certificate_pem, pair))
        if who == "admin":
            local = certificates.kubeconfig(f"https://127.0.0.1:{port}", ca.certificate_pem, pair)
            certificates.write(layout.kubeconfig, local)
    for node in nodes:
        name = certificates.subject(f"system:node:{node}", "system:nodes")
        pair = certificates.issue(ca, name, [node], [network.address(node), "127.0.0.1"])
        certificates.save(pki, node, pair)
        certificates.write(layout.inside(node), certificates.kubeconfig(network.API, ca.certificate_pem, pair))


def listen(wanted: int | None) -> socket.socket:
    """A listener on 127.0.0.1: the port of last time if it is free, else any."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", wanted or 0))
    except OSError:
        listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


@dataclass(frozen=True)
class ControlPlane:
    """Starts the programs of one lab; holds nothing but names."""

    layout: Layout
    programs: Path
    whole: bool

    def program(self, name: str, *command: str) -> process.Record:
        inside = network.inside(self.layout.control_namespace, str(self.programs / command[0]), *command[1:])
        return process.start(self.layout.processes, name, inside, self.layout.logs / f"{name}.log")

    def etcd(self) -> process.Record:
        """Data survive `down`; nothing is synced to disk, because nobody keeps anything here."""
        return self.program(
            "etcd", "etcd", "--data-dir", str(self.layout.etcd), "--listen-client-urls", ETCD,
            "--advertise-client-urls", ETCD, "--listen-peer-urls", "http://127.0.0.1:2380",
            "--log-level", "error", "--unsafe-no-fsync",
        )  # fmt: skip

    def api(self) -> process.Record:
        pki = self.layout.pki
        # Without the controller manager nobody makes service accounts for the pods that a test creates.
        extra = () if self.whole else ("--disable-admission-plugins=ServiceAccount",)
        if self.layout.audit_policy.exists():
            policy, log = self.layout.audit_policy, self.layout.audit_log
            extra = (*extra, f"--audit-policy-file={policy}", f"--audit-log-path={log}", "--audit-log-maxsize=1000")
        return self.program(
            "api", "kube-apiserver", f"--etcd-servers={ETCD}",
            f"--bind-address={network.CONTROL}",
            f"--advertise-address={network.CONTROL}", "--secure-port=6443",
            f"--tls-cert-file={pki}/server.crt", f"--tls-private-key-file={pki}/server.key",
            f"--client-ca-file={pki}/ca.crt", f"--kubelet-certificate-authority={pki}/ca.crt",
            f"--kubelet-client-certificate={pki}/kubelet-client.crt",
            f"--kubelet-client-key={pki}/kubelet-client.key", "--kubelet-preferred-address-types=InternalIP",
            f"--service-cluster-ip-range={network.SERVICES}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-signing-key-file={pki}/accounts.key",
            f"--service-account-key-file={pki}/accounts.pub", "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true", "--profiling=false", *extra,
        )  # fmt: skip

    def controllers(self) -> process.Record:
        pki = self.layout.pki
        return self.program(
            "controllers", "kube-controller-manager", f"--kubeconfig={self.layout.inside('controllers')}",
            f"--service-account-private-key-file={pki}/accounts.key", "--use-service-account-credentials",
            f"--root-ca-file={pki}/ca.crt", f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key", "--leader-elect=false", "--bind-address=127.0.0.1",
            f"--cluster-cidr={network.PODS}", "--profiling=false",
        )  # fmt: skip

    def scheduler(self) -> process.Record:
        return self.program(
            "scheduler", "kube-scheduler", f"--kubeconfig={self.layout.inside('scheduler')}",
            "--leader-elect=false", "--bind-address=127.0.0.1", "--profiling=false",
        )  # fmt: skip

    def forwarder(self, listener: socket.socket) -> process.Record:
        """Hands the listener over; the socket stays outside the namespace in which the forwarder runs."""
        command = network.inside(
            self.layout.control_namespace, sys.executable, "-I", str(Path(__file__).parent / "forwarder.py"),
            network.CONTROL, "6443",
        )  # fmt: skip
        return process.start(
            self.layout.processes, "forwarder", command, self.layout.logs / "forwarder.log",
            listener=listener.fileno(),
        )  # fmt: skip
