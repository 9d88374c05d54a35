# Copyright: (c) 2026, pgherd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates: what an authority and its leaves say, and whether those that are there are still good.

ECDSA P-256 with SHA-256. Each is due when less than a third of its life is left; a leaf also when names, issuer or
key do not fit what is declared. Clocks differ, so all start an hour ago.
"""

from __future__ import annotations

import ipaddress
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    PROBLEM = None
except ImportError:
    PROBLEM = traceback.format_exc()

BACKDATED = timedelta(hours=1)


@dataclass(frozen=True)
class Pair:
    """Certificate and private key as PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True)
class Leaf:
    """What a leaf certificate must say."""

    common_name: str
    dns: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    server: bool = True
    client: bool = False


def leaf_of(options: Mapping[str, Any]) -> Leaf:
    return Leaf(
        options["common_name"],
        tuple(options.get("dns") or ()),
        tuple(options.get("addresses") or ()),
        bool(options.get("server", True)),
        bool(options.get("client", False)),
    )


def expires(pem: bytes) -> datetime:
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


def born(pem: bytes) -> datetime:
    """When it was made, if it is one of ours."""
    return x509.load_pem_x509_certificate(pem).not_valid_before_utc + BACKDATED


def fingerprint(pem: bytes) -> str:
    """SHA-256 of the first certificate's DER form, as members publish it."""
    return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex()


def new_authority(common_name: str, now: datetime, life: timedelta) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(common_name)
    usage = _key_usage(sign=True)
    builder = (
        _builder(subject, key.public_key(), now, life)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _pair(builder.sign(key, hashes.SHA256()), key)


def new_leaf(authority: Pair, leaf: Leaf, now: datetime, life: timedelta) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key: Any = serialization.load_pem_private_key(authority.key, password=None)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    life = min(life, issuer.not_valid_after_utc - now)
    builder = (
        _builder(_name(leaf.common_name), key.public_key(), now, life)
        .issuer_name(issuer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_usages(leaf)), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(leaf)), critical=False)
    )
    return _pair(builder.sign(issuer_key, hashes.SHA256()), key)


def authority_problem(pair: Pair | None, now: datetime, ours: bool = True) -> str | None:
    """Why this authority must be replaced; None when it is good. One that is not ours to renew is used to its end."""
    if pair is None:
        return "it is missing"
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        matches = _matches(certificate, pair.key)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return "it cannot be read as the certificate of an authority"
    if not matches:
        return "certificate and key do not belong together"
    if not constraints.ca:
        return "the certificate is not one of an authority"
    if certificate.not_valid_after_utc <= now:
        return "it has expired"
    return SHORT if ours and _short(certificate, now) else None


def unusable(pair: Pair | None) -> str | None:
    """Why nobody can work with this leaf at all; None when somebody can."""
    if pair is None:
        return "it is missing"
    try:
        if not _matches(x509.load_pem_x509_certificate(pair.certificate), pair.key):
            return "certificate and key do not belong together"
    except (ValueError, TypeError):
        return "it cannot be read"
    return None


def leaf_problem(pair: Pair | None, authority: Pair, leaf: Leaf, now: datetime) -> str | None:
    """Why this leaf must be made anew; None when it is good for what is declared."""
    problem = unusable(pair)
    if pair is None or problem:
        return problem
    if not signed_by(pair.certificate, authority.certificate):
        return "another authority signed it"
    try:
        found = x509.load_pem_x509_certificate(pair.certificate)
        names = set(found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        usages = set(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except (ValueError, x509.ExtensionNotFound):
        return "it cannot be read"
    if found.subject != _name(leaf.common_name) or names != set(_names(leaf)) or usages != set(_usages(leaf)):
        return "its names or usages are not the declared ones"
    return SHORT if _short(found, now) else None


SHORT = "less than a third of its life is left"


def _short(certificate: x509.Certificate, now: datetime) -> bool:
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - now < life / 3


def signed_by(certificate: bytes, authority: bytes) -> bool:
    try:
        x509.load_pem_x509_certificate(certificate).verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def utcnow() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _builder(subject: x509.Name, key: Any, now: datetime, life: timedelta) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
    )


def _key_usage(sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign,
        crl_sign=sign,
        encipher_only=False,
        decipher_only=False,
    )


def _usages(leaf: Leaf) -> list[x509.ObjectIdentifier]:
    server = [ExtendedKeyUsageOID.SERVER_AUTH] if leaf.server else []
    return server + ([ExtendedKeyUsageOID.CLIENT_AUTH] if leaf.client else [])


def _names(leaf: Leaf) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in leaf.dns or (leaf.common_name,)]
    return names + [x509.IPAddress(ipaddress.ip_address(address)) for address in leaf.addresses]


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _matches(certificate: x509.Certificate, key: bytes) -> bool:
    private = serialization.load_pem_private_key(key, password=None)
    return _public(private.public_key()) == _public(certificate.public_key())


def _public(key: Any) -> bytes:
    data: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return data


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), private)


def valid_certificates(pem: bytes, now: datetime) -> list[bytes]:
    """The certificates of a bundle that have not expired, each as PEM; none when it cannot be read."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return []
    return [each.public_bytes(serialization.Encoding.PEM) for each in found if each.not_valid_after_utc > now]


def subject_of(pem: bytes) -> str:
    """Common name of the first certificate; empty without one."""
    found = x509.load_pem_x509_certificate(pem).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def names_of(pem: bytes) -> list[str]:
    """DNS names of the first certificate."""
    try:
        found = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return found.value.get_values_for_type(x509.DNSName)


def covers(names: Iterable[str], host: str) -> bool:
    """Whether one of these is the host, or a wildcard for its first label."""
    rest = host.partition(".")[2]
    return any(name.lower() in (host, f"*.{rest}") for name in names)
