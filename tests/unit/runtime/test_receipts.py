"""Every failover leaves a receipt, written once, in the shape that `pgherd history` reads."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from tests.unit.runtime.stand_ins import Bench, reached

from pgherd.model.actions import Loser, Reason, WriteLease
from pgherd.model.knowledge import Knowledge, WriteKind
from pgherd.model.lease import Holder, Lease
from pgherd.model.position import Position
from pgherd.model.server import Server
from pgherd.runtime.receipts import KEPT, End, Receipt, Receipts, append, write_receipts

OLD = Lease(leader="demo-1", epoch=4, ttl=10, optime=0x5000148, holder=Holder("u1", "c1", "n1", 1, 1))
REASON = Reason("take-expired", "the lease of demo-1 has ended")


def receipt(epoch: int) -> Receipt:
    return Receipt(epoch, None, End("demo-0", 2, "0/0"), REASON, "", "")


def test_an_entry_is_appended_once_and_a_hundred_are_kept() -> None:
    text: str | None = None
    for epoch in range(KEPT + 5):
        text = append(text, receipt(epoch))
    assert text is not None
    assert [entry["epoch"] for entry in json.loads(text)] == list(range(5, KEPT + 5))
    assert append(text, receipt(50)) is None


@pytest.mark.parametrize(
    ("origin", "code", "expected"),
    [
        ("demo-1", "handover", "switchover"),
        ("demo-1", "released", "switchover"),
        ("demo-1", "lease-expired", "failover"),
        ("demo-1", "container-dead", "failover"),
        ("demo-0", "predecessor-dead", "in_place"),
        ("demo-0", "handover-untaken", "in_place"),
    ],
)
def test_changes_of_the_leader_are_counted_by_kind_for_ever(origin: str, code: str, expected: str) -> None:
    text: str | None = None
    for epoch in range(KEPT + 5):
        text = append(text, receipt(epoch))
    one = msgspec.structs.replace(receipt(KEPT + 5), origin=End(origin, 1, "0/0"), reason=Reason(code, ""))
    counts = json.loads(append(text, one) or "")[-1]["changes"]
    assert counts == {"failover": KEPT + 5 + (expected == "failover")} | (
        {} if expected == "failover" else {expected: 1}
    )


def test_an_edited_count_is_begun_anew() -> None:
    text = append('[{"epoch": 1, "changes": {"failover": "many", "switchover": 2}}]', receipt(2))
    assert json.loads(text or "")[-1]["changes"] == {"switchover": 2, "failover": 1}


def test_an_unreadable_history_is_begun_anew() -> None:
    for broken in ("{", "5", '["a"]', ""):
        text = append(broken, receipt(1))
        assert text is not None and len(json.loads(text)) == 1


async def test_a_failover_from_detection_to_first_write(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    receipts = Receipts(bench.state, bench.identity, tmp_path, bench.log)
    bench.state.knowledge = Knowledge(record=OLD)
    bench.state.server = Server(position=Position(1, 0x5000100))
    receipts.decided(bench.state.view(0.0, 5.0), 5.0)  # the lease stands
    bench.clock.now = 11.0
    receipts.decided(bench.state.view(0.0, 11.0), 11.0)
    record = bench.mine(OLD, epoch=5, holder=Holder("uid-demo-0", "", "n2", 2, 1))
    action = WriteLease(WriteKind.TAKE, record, losers=(Loser("demo-2", "behind"),), at_risk=72)
    receipts.written(action, OLD, record, REASON)
    receipts = Receipts(bench.state, bench.identity, tmp_path, bench.log)  # the agent starts anew in between
    receipts.writable(Position(2, 0x5000148))
    published = msgspec.structs.replace(record, address="10.0.0.1")
    receipts.written(WriteLease(WriteKind.RENEW, published), record, published, REASON)
    task = asyncio.create_task(write_receipts(receipts, bench.state, bench.stores.config, bench.log))
    await reached(lambda: bench.memory.config.value.history is not None)
    task.cancel()
    [entry] = json.loads(bench.memory.config.value.history or "")
    times = [entry.pop(name) for name in ("detected", "lease", "promoted", "first_write")]
    assert all(times) and times == sorted(times)
    assert entry == {
        "epoch": 5,
        "from": {"member": "demo-1", "timeline": 1, "lsn": "0/5000148"},
        "to": {"member": "demo-0", "timeline": 2, "lsn": "0/5000148"},
        "reason": {"code": "take-expired", "text": "the lease of demo-1 has ended"},
        "at_risk_bytes": 72,
        "losers": [{"member": "demo-2", "why": "behind"}],
        "changes": {"failover": 1},
    }
    assert json.loads(bench.output.getvalue().splitlines()[-1])["code"] == "receipt"


async def test_a_holder_that_was_never_writable_is_left_with_the_timeline_before_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    receipts = Receipts(bench.state, bench.identity, tmp_path, bench.log)
    half = msgspec.structs.replace(OLD, epoch=5, holder=Holder("u1", "c1", "n1", 2, 1))
    record = bench.mine(half, epoch=6, holder=Holder("uid-demo-0", "", "n2", 3, 1))
    receipts.written(WriteLease(WriteKind.TAKE, record), half, record, REASON)
    receipts.writable(Position(3, 0x5000100))
    published = msgspec.structs.replace(record, address="10.0.0.1")
    receipts.written(WriteLease(WriteKind.RENEW, published), record, published, REASON)
    entry = json.loads(append(None, receipts.complete.get_nowait()) or "")[0]
    assert entry["from"] == {"member": "demo-1", "timeline": 2, "lsn": "0/5000148", "writable": 1}
    assert entry["to"]["lsn"] == "0/5000100"


async def test_a_lock_that_is_made_again_before_the_address_is_published_loses_no_receipt(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    receipts = Receipts(bench.state, bench.identity, tmp_path, bench.log)
    record = bench.mine(OLD, epoch=5)
    receipts.written(WriteLease(WriteKind.TAKE, record), OLD, record, REASON)
    again = msgspec.structs.replace(record, epoch=6)
    receipts.written(WriteLease(WriteKind.RENEW, again), record, again, REASON)
    published = msgspec.structs.replace(again, address="10.0.0.1")
    receipts.written(WriteLease(WriteKind.RENEW, published), again, published, REASON)
    assert receipts.complete.get_nowait().epoch == 5


async def test_a_new_cluster_is_no_failover(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    receipts = Receipts(bench.state, bench.identity, tmp_path, bench.log)
    first = Lease(leader=None, epoch=0, released=0, ttl=10)
    record = bench.mine(first, epoch=1, address="10.0.0.1")
    receipts.written(WriteLease(WriteKind.TAKE, record), first, record, REASON)
    receipts.written(WriteLease(WriteKind.RENEW, record), record, record, REASON)
    assert receipts.complete.empty()
