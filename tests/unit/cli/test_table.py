"""The rows of `pgherd list`, the receipts of `pgherd history`, and what the commands say when they cannot work."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from pgherd.cli import receipts
from pgherd.cli.commands import pgherd
from pgherd.cli.observe import Observation
from pgherd.cli.show import cells
from pgherd.cli.table import Row, table
from pgherd.cli.target import Target
from pgherd.kubernetes.store import ConfigSeen, LockSeen, PodSeen
from pgherd.model.certificate import CertificateState
from pgherd.model.member import MemberStatus
from pgherd.model.position import Position
from pgherd.model.slots import SlotState
from pgherd.model.synchronous import Standby, Synchronous
from tests.unit.decide.views import SYSTEM, lease, pod, status

TARGET = Target("demo", "ns", None, "pgherd.dev/", ("m0", "m1", "m2"), "/certificates", 8008, 5432)
STREAMS = {"streaming_from": "m0", "receiver_timeline": 2}


def rows(**answers: MemberStatus | None) -> dict[str, Row]:
    said = {"m0": status("m0"), "m1": status("m1", **STREAMS), "m2": status("m2", **STREAMS), **answers}
    pods = tuple(PodSeen(pod(name)) for name in ("m0", "m1", "m2"))
    why = {name: "no answer within 1 s" for name, words in said.items() if words is None}
    seen = Observation(TARGET, "ns", LockSeen(lease(), "7"), ConfigSeen("3", SYSTEM), pods, said, why)
    return {row.member: row for row in table(seen).members}


def test_a_healthy_cluster_has_nothing_to_note() -> None:
    found = rows()
    assert [found[name].role for name in ("m0", "m1", "m2")] == ["leader", "replica", "replica"]
    assert [found[name].state for name in ("m0", "m1", "m2")] == ["running", "streaming", "streaming"]
    assert all(row.notes == () for row in found.values())
    assert [found[name].candidate for name in ("m0", "m1", "m2")] == [False, True, True]


def test_a_leader_on_promises_says_so() -> None:
    found = rows(m0=status("m0", failsafe=True))
    assert found["m0"].notes == ("leads on promises: the Kubernetes API does not confirm its renewals",)
    assert found["m1"].notes == ()


@pytest.mark.parametrize(
    ("words", "state", "note"),
    [
        (None, "no answer", "no answer within 1 s"),
        (status("m1", streaming_from="m0", receiver_timeline=1), "running", "streams from m0 on timeline 1"),
        (status("m1", **STREAMS, incarnation="new"), "streaming", "not recorded as a candidate yet"),
        (status("m1", role="primary"), "running", "accepts writes without the lease"),
        (
            status("m1", **STREAMS, slots={"cdc": SlotState("logical", "lost"), "m0": SlotState("physical", "kept")}),
            "streaming",
            "slot cdc lost",
        ),
        (status("m1", **STREAMS, refused="work_mem"), "streaming", "configuration refused: work_mem"),
        (status("m1", **STREAMS, system_identifier="666"), "streaming", "another system identifier: 666"),
    ],
)
def test_what_is_odd_is_noted(words: MemberStatus | None, state: str, note: str) -> None:
    row = rows(m1=words)["m1"]
    assert row.state == state and any(text.startswith(note) for text in row.notes), row


@pytest.mark.parametrize(("incarnation", "role"), [("i1", "sync_standby"), ("new", "replica")])
def test_a_member_of_the_synchronous_set_is_a_sync_standby(incarnation: str, role: str) -> None:
    names = Synchronous("on", Standby("m0", "i0"), (Standby("m1", "i1"),), 1)
    answers = {"m0": status("m0"), "m1": status("m1", **STREAMS, incarnation=incarnation)}
    pods = tuple(PodSeen(pod(name)) for name in ("m0", "m1", "m2"))
    seen = Observation(TARGET, "ns", LockSeen(lease(sync=names), "7"), ConfigSeen("3", SYSTEM), pods, answers)
    row = table(seen).members[1]
    assert row.role == role and row.lag == 0 and cells(row)[3] in ("Sync Standby", "Replica")


def test_lag_is_what_a_member_lacks_of_the_leaders_wal() -> None:
    row = rows(m1=status("m1", **STREAMS, position=Position(2, 4000), replayed=3000))["m1"]
    assert (row.lag, row.replay_lag) == (1000, 2000)


def test_a_receipt_is_a_row() -> None:
    receipt = {
        "epoch": 2, "from": {"member": "m0", "timeline": 1}, "to": {"member": "m1", "timeline": 2, "lsn": "0/5000000"},
        "reason": {"code": "lease-expired", "text": "m0 did not renew for 10 s"}, "at_risk_bytes": 7,
        "detected": "2026-01-01T00:00:00+00:00", "first_write": "2026-01-01T00:00:01.250000+00:00",
    }  # fmt: skip
    row = receipts.row(receipt)
    assert row[:5] == ("2", "1 -> 2", "m0", "m1", "0/5000000") and row[7:] == ("1.250 s", "7 B")


def test_outside_a_pod_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHERD_SETTINGS", str(tmp_path / "none.yaml"))
    said = CliRunner().invoke(pgherd, ["list"])
    assert said.exit_code == 1 and "--cluster" in said.output


def test_every_command_explains_itself() -> None:
    for name in pgherd.commands:
        said = CliRunner().invoke(pgherd, [name, "--help"])
        assert said.exit_code == 0 and "Usage:" in said.output


def test_certificates_are_noted_when_a_person_has_to_act() -> None:
    fine = CertificateState("aa", ("bb",), int(time.time()) + 200 * 86400)
    assert rows(m1=status("m1", **STREAMS, certificates={"rest": fine}))["m1"].notes == ()
    soon = replace(fine, expires=int(time.time()) + 3 * 86400 + 60)
    over, wrong = replace(fine, expires=int(time.time()) - 60), replace(fine, refused="ca.crt cannot be loaded")
    said = status("m1", **STREAMS, certificates={"rest": soon, "server": over, "replication": wrong})
    assert rows(m1=said)["m1"].notes == (
        "replication certificate: ca.crt cannot be loaded", "rest certificate ends in 3 days",
        "server certificate has expired",
    )  # fmt: skip
