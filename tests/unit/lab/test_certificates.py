"""What the lab signs is what Kubernetes checks: chains, names, uses."""

from __future__ import annotations

import base64
import datetime
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.x509 import verification
from cryptography.x509.oid import NameOID

from pgherd_lab import certificates, controlplane, network
from pgherd_lab.paths import Layout


def verifier(ca: x509.Certificate, host: x509.GeneralName | None) -> object:
    builder = verification.PolicyBuilder().store(verification.Store([ca])).time(datetime.datetime.now(datetime.UTC))
    if host is None:
        return builder.build_client_verifier()
    assert isinstance(host, x509.DNSName | x509.IPAddress)
    return builder.build_server_verifier(host)


def test_the_servers_certificate_is_good_for_every_name_of_the_api(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    controlplane.write_identities(layout, ["node1"], 12345)
    ca = x509.load_pem_x509_certificate((layout.pki / "ca.crt").read_bytes())
    server = x509.load_pem_x509_certificate((layout.pki / "server.crt").read_bytes())
    extension = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names = extension.get_values_for_type(x509.DNSName)
    addresses = [str(each) for each in extension.get_values_for_type(x509.IPAddress)]
    assert "kubernetes.default.svc" in names
    assert set(addresses) == {"127.0.0.1", network.CONTROL, network.API_SERVICE}
    for name in names:
        assert verifier(ca, x509.DNSName(name)).verify(server, [])  # type: ignore[attr-defined]


def test_the_authority_says_that_it_is_one() -> None:
    ca = certificates.authority().certificate
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert ca.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_a_client_is_its_user_and_group_and_no_server() -> None:
    ca = certificates.authority()
    pair = certificates.issue(ca, certificates.subject("system:node:node1", "system:nodes"))
    name = pair.certificate.subject
    assert name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "system:node:node1"
    assert name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:nodes"
    uses = pair.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]
    pair.certificate.verify_directly_issued_by(ca.certificate)


def test_the_administrators_kubeconfig_stands_alone_and_is_private(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    controlplane.write_identities(layout, [], 12345)
    document = yaml.safe_load(layout.kubeconfig.read_text())
    cluster = document["clusters"][0]["cluster"]
    assert cluster["server"] == "https://127.0.0.1:12345"
    assert base64.b64decode(cluster["certificate-authority-data"]) == (layout.pki / "ca.crt").read_bytes()
    assert "insecure-skip-tls-verify" not in cluster
    assert layout.kubeconfig.stat().st_mode & 0o077 == 0
    assert (layout.pki / "ca.key").stat().st_mode & 0o077 == 0


def test_service_accounts_keep_their_key_over_a_restart(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    controlplane.write_identities(layout, [], 1)
    key = (layout.pki / "accounts.key").read_bytes()
    controlplane.write_identities(layout, [], 1)
    assert (layout.pki / "accounts.key").read_bytes() == key
