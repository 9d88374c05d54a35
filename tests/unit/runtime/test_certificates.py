"""Renewed certificates: taken, brought into use, published; and what stays when something is wrong with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.rest.stand_ins import Authority
from tests.unit.runtime.stand_ins import Bench

from pgherd.model.certificate import CertificateState
from pgherd.runtime.certificates import AGAIN, Certificates, Kind
from pgherd.tls.pair import Usage, fingerprints
from pgherd.tls.take import withhold

AUTHORITY = Authority()


class Parts:
    """One kind of certificate whose use the test watches."""

    def __init__(self, folder: Path) -> None:
        self.bench = Bench(folder)
        self.mounted, self.used = AUTHORITY.write(folder / "mounted", "demo-0"), folder / "used"
        self.calls: list[tuple[str, bool]] = []
        self.fails: Exception | None = None
        self.withheld = False
        kind = Kind("server", self.mounted, self.used, Usage.SERVER, self._use, lambda: self.withheld)
        bench = self.bench
        self.certificates = Certificates(bench.state, bench.stores.pods, [kind], bench.clock, bench.log)

    async def _use(self, taken: CertificateState, first: bool) -> None:
        self.calls.append((taken.serves, first))
        if self.fails is not None:
            raise self.fails

    def look(self, later: float = 0.0) -> None:
        self.bench.clock.now += later
        asyncio.run(self.certificates.look())

    def renew(self) -> str:
        AUTHORITY.write(self.mounted, "demo-0")
        return self.fingerprint()

    def fingerprint(self) -> str:
        return fingerprints((self.mounted / "tls.crt").read_bytes())[0]

    @property
    def published(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.bench.memory.annotations["demo-0", "pgherd.dev/certificates"])["server"]
        return found

    def codes(self) -> list[str]:
        return [json.loads(line)["code"] for line in self.bench.output.getvalue().splitlines()]


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


def test_what_is_mounted_is_used_and_published_once(parts: Parts) -> None:
    parts.look()
    parts.look(1)
    assert parts.calls == [(parts.fingerprint(), True)]
    assert parts.published["serves"] == parts.fingerprint() and parts.published["refused"] == ""
    assert parts.published["trusts"] == list(fingerprints((parts.mounted / "ca.crt").read_bytes()))
    assert parts.bench.state.certificates["server"].expires == parts.published["expires"]
    assert parts.codes() == ["certificate-taken"]


def test_a_renewed_one_is_brought_into_use_without_being_the_first(parts: Parts) -> None:
    parts.look()
    new = parts.renew()
    parts.look(1)
    assert parts.calls[1:] == [(new, False)] and parts.published["serves"] == new


def test_another_authority_alone_is_a_change(parts: Parts) -> None:
    parts.look()
    other = Authority("next").write(parts.mounted.parent / "x", "demo-0") / "ca.crt"
    (parts.mounted / "ca.crt").write_bytes((parts.mounted / "ca.crt").read_bytes() + other.read_bytes())
    parts.look(1)
    assert len(parts.calls) == 2 and len(parts.published["trusts"]) == 2


def test_a_bad_pair_is_not_used_said_once_and_tried_again(parts: Parts) -> None:
    parts.look()
    old, key = parts.fingerprint(), (parts.mounted / "tls.key").read_bytes()
    new = parts.renew()
    good = (parts.mounted / "tls.key").read_bytes()
    (parts.mounted / "tls.key").write_bytes(key)
    for later in (1, 1, AGAIN):
        parts.look(later)
    assert parts.published["serves"] == old and "do not belong together" in parts.published["refused"]
    assert parts.codes() == ["certificate-taken", "certificate-refused"] and len(parts.calls) == 1
    (parts.mounted / "tls.key").write_bytes(good)
    parts.look(1)
    assert parts.published["serves"] == new and parts.published["refused"] == ""


def test_one_that_does_not_come_into_use_is_not_published_as_served(parts: Parts) -> None:
    parts.look()
    old, parts.fails = parts.fingerprint(), RuntimeError("PostgreSQL serves another")
    new = parts.renew()
    parts.look(1)
    assert parts.published["serves"] == old and "PostgreSQL serves another" in parts.published["refused"]
    parts.fails = None
    parts.look(1)
    assert parts.published["serves"] == old, "not asked again at once"
    parts.look(AGAIN)
    assert parts.published["serves"] == new and not parts.published["refused"]


def test_a_withheld_key_is_not_put_back_before_its_time(parts: Parts) -> None:
    parts.look()
    parts.withheld = True
    withhold(parts.used)
    parts.renew()
    parts.look(AGAIN)
    assert not (parts.used / "tls.key").exists() and len(parts.calls) == 1
    parts.withheld = False
    parts.look(1)
    assert (parts.used / "tls.key").exists() and len(parts.calls) == 2


def test_a_publication_that_fails_is_tried_again(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    from pgherd.kubernetes.store import Unanswered

    pods, tries = parts.bench.stores.pods, list[str]()
    real: Callable[..., Any] = pods.annotate

    async def annotate(name: str, annotation: str, text: str, limit: float) -> None:
        tries.append(text)
        if len(tries) == 1:
            raise Unanswered("annotate pod: no answer")
        await real(name, annotation, text, limit)

    monkeypatch.setattr(pods, "annotate", annotate)
    parts.look()
    parts.look(1)
    assert len(tries) == 1
    parts.look(3)
    assert parts.published["serves"] == parts.fingerprint()
    assert parts.codes() == ["certificate-taken", "certificates-unpublished"]
