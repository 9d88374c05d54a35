"""A status source in memory, and certificates of an authority made for one test run."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pgherd.model.access import Report
from pgherd.model.lease import Holder, Lease
from pgherd.model.member import MemberStatus, Peer
from pgherd.model.metrics import Sample
from pgherd.model.position import Position
from pgherd.model.promises import Question, Verdict
from pgherd.model.request import Request, Stage, Verb
from pgherd.model.settings import Configuration
from pgherd.rest.asking import Body

MB = 1 << 20
LEASE = Lease(
    leader="demo-a-0",
    epoch=3,
    ttl=10,
    optime=50 * MB,
    holder=Holder(uid="uid-a", container="", nonce="n1", timeline=2, writable=2),
    slots={"demo_b_0": 48 * MB},
    address="10.0.0.1",
)
PRIMARY = MemberStatus(
    member="demo-a-0", uid="uid-a", state="running", role="primary", system_identifier="7000000000000000001",
    position=Position(2, 50 * MB), replayed=50 * MB, holds_until=6.0, epoch_seen=3, server_version=170006,
    version="0.1.0",
)  # fmt: skip
REPLICA = MemberStatus(
    member="demo-b-0", uid="uid-b", state="running", role="replica", system_identifier="7000000000000000001",
    position=Position(2, 49 * MB), replayed=46 * MB, streaming_from="demo-a-0", receiver_timeline=2, epoch_seen=3,
    server_version=170006, version="0.1.0",
)  # fmt: skip


@dataclass
class Source:
    """StatusSource whose every answer a test sets."""

    status: MemberStatus = PRIMARY
    record: Lease | None = LEASE
    streamed: float | None = None
    decided: float = 0.1
    others: tuple[Peer, ...] = ()
    receipts: list[Any] = field(default_factory=list)
    configuration: Configuration = field(default_factory=Configuration)
    cluster_name: str = "demo"
    address: str = "10.0.0.1"
    refreshed: int = 0
    frozen: bool = False
    asked: list[Question] = field(default_factory=list)
    refused: str = ""
    requests: list[tuple[Verb, Body, str]] = field(default_factory=list)
    stage: Stage = Stage.DONE
    why: str = ""
    trouble: Exception | None = None
    report: Report | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)
    changes: list[tuple[Mapping[str, Any], bool, str]] = field(default_factory=list)
    members: int = 3
    history_known: bool = True
    age: float | None = 1.5
    counted: list[Sample] = field(default_factory=list)
    measured: list[Sample] = field(default_factory=list)

    def stored(self) -> Mapping[str, Any]:
        return self.kept

    async def change(self, body: Mapping[str, Any], replaces: bool, by: str) -> Mapping[str, Any]:
        self.changes.append((body, replaces, by))
        if self.trouble is not None:
            raise self.trouble
        return {**self.kept, **body}

    async def measure(self) -> list[Sample]:
        return self.measured

    def lease_age(self) -> float | None:
        return self.age

    def counts(self) -> list[Sample]:
        return self.counted

    def promise(self, asked: Question) -> Verdict:
        self.asked.append(asked)
        return Verdict(self.status.member, self.status.uid, self.refused)

    async def ask(self, verb: Verb, body: Body, by: str) -> Request:
        self.requests.append((verb, body, by))
        if self.trouble is not None:
            raise self.trouble
        return Request("r1", verb, state=self.stage, reason=self.why)

    async def refresh(self) -> None:
        self.refreshed += 1
        if self.frozen:
            await asyncio.sleep(60)

    def member(self) -> MemberStatus:
        return self.status

    def lease(self) -> Lease | None:
        return self.record

    def peers(self) -> tuple[Peer, ...]:
        return self.others

    def history(self) -> list[Any]:
        return self.receipts

    def access(self) -> Report | None:
        return self.report

    def streamed_ago(self) -> float | None:
        return self.streamed

    def decided_ago(self) -> float:
        return self.decided


class Authority:
    """An authority that signs leaves into folders in the shape that the pods mount."""

    def __init__(self, name: str = "demo-ca") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self._name, self._key.public_key(), _ca)

    def _sign(
        self, subject: x509.Name, key: Any, extend: Callable[[Any], Any],
        begins: datetime.datetime | None = None, ends: datetime.datetime | None = None,
    ) -> x509.Certificate:  # fmt: skip
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins or now - datetime.timedelta(hours=1))
            .not_valid_after(ends or now + datetime.timedelta(days=1))
        )
        return extend(builder).sign(self._key, hashes.SHA256())  # type: ignore[no-any-return]

    def write(self, folder: Path, member: str, cluster: str = "demo", **dates: datetime.datetime) -> Path:
        """tls.crt, tls.key and ca.crt of a member."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [
            x509.DNSName(name) for name in (f"{member}.{cluster}-pods", member, "localhost")
        ]
        names = [*names, x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]

        def leaf(builder: Any) -> Any:
            usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            return builder.add_extension(x509.SubjectAlternativeName(names), critical=False).add_extension(
                x509.ExtendedKeyUsage(usages), critical=False
            )

        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, member)])
        certificate = self._sign(subject, key.public_key(), leaf, **dates)
        folder.mkdir(parents=True, exist_ok=True)
        pem = serialization.Encoding.PEM
        plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / "tls.key").write_bytes(key.private_bytes(pem, *plain))
        (folder / "tls.crt").write_bytes(certificate.public_bytes(pem))
        (folder / "ca.crt").write_bytes(self.certificate.public_bytes(pem))
        return folder


def _ca(builder: Any) -> Any:
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
