"""From wanted and existing slots to steps and states, and when a copied slot is proved."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import pytest

from pgherd.model.slots import Matcher, SlotOrders, Wanted
from pgherd.postgres.slot_copy import Unusable, read_state
from pgherd.postgres.slot_plan import Advance, Create, Drop, Failover, Found, Step, found, states, steps
from pgherd.postgres.slot_proof import Proof, copying, not_after, owning, proved

M2 = Wanted("m2", position=500)
CDC = Wanted("cdc", "logical", "app", "pgoutput", position=500)
KNOWN = msgspec.structs.replace(CDC, known=True)


def physical(name: str = "m2", **more: Any) -> Found:
    return Found(**{"name": name, "kind": "physical", "restart": 400, **more})


def logical(name: str = "cdc", **more: Any) -> Found:
    base = {"name": name, "kind": "logical", "database": "app", "plugin": "pgoutput", "restart": 300, "confirmed": 400}
    return Found(**{**base, "catalog_xmin": 700, **more})


def orders(primary: bool, *slots: Wanted, **more: Any) -> SlotOrders:
    return SlotOrders(primary, 1, slots, own="m1", members=("m0", "m1", "m2"), **more)


def plan(
    given: SlotOrders, *there: Found, made: tuple[str, ...] = (), doubtful: tuple[str, ...] = (), major: int = 15
) -> list[Step]:
    return steps(given, {slot.name: slot for slot in there}, frozenset(made), frozenset(doubtful), major)


@pytest.mark.parametrize(
    ("given", "there", "planned"),
    [
        # members' slots
        (orders(True, M2), (), [Create(M2)]),
        (orders(True, M2), (physical(),), []),
        (orders(True), (physical(),), [Drop("m2")]),
        (orders(True), (physical(active=True),), []),  # dropped once it is idle
        (orders(True), (physical("theirs"),), []),  # its user's
        (orders(True), (logical("m2"),), []),  # named like a member, and not a member's
        (orders(True, M2), (physical(status="lost"),), [Drop("m2"), Create(M2)]),
        (orders(True, M2), (physical(xmin=5),), []),
        (orders(False, M2), (), [Create(M2)]),
        (orders(False, M2), (physical(),), [Advance("m2", "", 500)]),
        (orders(False, M2), (physical(restart=500),), []),  # never back
        (orders(False, M2), (physical(active=True),), []),
        (orders(False, M2), (physical(restart=0),), []),  # it reserves nothing yet
        (orders(False, M2), (physical(xmin=5),), [Drop("m2"), Create(M2)]),  # left from its time as a primary
        (orders(False, M2), (physical(catalog_xmin=5),), [Drop("m2"), Create(M2)]),
        (orders(False), (physical(), physical("theirs")), [Drop("m2")]),
        # declared logical slots
        (orders(True, CDC), (), [Create(CDC)]),
        (orders(True, KNOWN), (), []),  # lost: made anew it would hide that
        (orders(True, CDC), (logical(),), []),
        (orders(True, CDC), (logical(plugin="test_decoding"),), []),
        (orders(True, CDC), (physical("cdc"),), []),
        (orders(True, CDC), (logical(status="lost"),), []),
        (orders(False, CDC), (), []),  # only a start brings it
        (orders(False, CDC), (logical(),), [Advance("cdc", "app", 500)]),
        (orders(False, CDC), (logical(confirmed=600),), []),
        (orders(False, CDC), (logical(plugin="test_decoding"),), []),
        (orders(False, CDC), (logical(active=True),), []),
        (orders(False), (logical(),), []),  # undeclared, and never ours
        # what is ignored
        (orders(True, ignore=(Matcher(name="m2"),)), (physical(),), []),
        (orders(True, CDC, ignore=(Matcher(plugin="pgoutput"),)), (), []),
        (orders(False, CDC, ignore=(Matcher(type="logical", database="app"),)), (logical(),), []),
        (
            orders(False, CDC, ignore=(Matcher(type="logical", database="other"),)), (logical(),),
            [Advance("cdc", "app", 500)],
        ),
    ],
)  # fmt: skip
def test_the_steps_from_what_is_there_to_what_is_wanted(
    given: SlotOrders, there: tuple[Found, ...], planned: list[Step]
) -> None:
    assert plan(given, *there) == planned


@pytest.mark.parametrize(
    ("given", "there", "planned"),
    [
        (orders(False), (logical(),), [Drop("cdc")]),
        (orders(False), (physical("store"),), [Drop("store")]),
        (orders(False), (logical(active=True),), []),
        (orders(True), (logical(), physical("store")), []),  # on a primary it is its user's from now on
    ],
)
def test_what_is_ours_and_no_longer_declared_goes_from_standbys(
    given: SlotOrders, there: tuple[Found, ...], planned: list[Step]
) -> None:
    assert plan(given, *there, made=("cdc", "store")) == planned


def test_a_slot_that_was_promoted_without_proof_is_dropped_and_not_made_anew() -> None:
    assert plan(orders(True, CDC), logical(), doubtful=("cdc",)) == [Drop("cdc")]
    assert plan(orders(True, CDC), logical(active=True), doubtful=("cdc",)) == []
    assert plan(orders(True, M2), physical(), doubtful=("m2",)) == []


@pytest.mark.parametrize(
    ("given", "there", "planned"),
    [
        (orders(True, CDC), (logical(failover=True),), []),
        (orders(True, CDC), (logical(),), [Failover("cdc")]),
        (orders(True, CDC), (logical(active=True),), []),
        (orders(True), (logical(),), []),
        (orders(False, CDC), (logical(failover=True, synced=True),), []),  # PostgreSQL advances it
        (orders(False, CDC), (logical(failover=True),), [Drop("cdc")]),  # it would stop all synchronisation
        (orders(False), (logical("users", failover=True),), [Drop("users")]),
        (orders(False), (logical("users"),), []),
    ],
)
def test_from_17_on_postgresql_synchronises_by_itself(
    given: SlotOrders, there: tuple[Found, ...], planned: list[Step]
) -> None:
    assert plan(given, *there, major=17) == planned


def test_logical_slots_are_made_last_since_they_wait() -> None:
    assert [type(step) for step in plan(orders(True, CDC, M2))] == [Create, Create]
    assert plan(orders(True, CDC, M2))[-1] == Create(CDC)


@pytest.mark.parametrize(
    ("given", "there", "ready", "state"),
    [
        (orders(True, M2), (physical(),), (), "kept"),
        (orders(True, M2), (), (), "refused"),
        (orders(True, M2), (physical(status="extended"),), (), "behind"),
        (orders(True, M2), (physical(status="unreserved"),), (), "behind"),
        (orders(True, CDC), (logical(status="lost"),), (), "lost"),
        (orders(True, CDC), (logical(invalid="rows_removed"),), (), "lost"),
        (orders(True, KNOWN), (), (), "lost"),
        (orders(True, CDC), (logical(plugin="wal2json"),), (), "refused"),
        (orders(False, CDC), (), (), "unready"),
        (orders(False, CDC), (logical(),), (), "unready"),
        (orders(False, CDC), (logical(),), ("cdc",), "kept"),
    ],
)
def test_what_is_said_of_a_slot(
    given: SlotOrders, there: tuple[Found, ...], ready: tuple[str, ...], state: str
) -> None:
    said = states(given, {slot.name: slot for slot in there}, frozenset(ready), {}, {}, 15)
    [only] = said.values()
    assert only.state == state
    assert bool(only.text) is (state != "kept")


@pytest.mark.parametrize(("there", "state"), [(logical(synced=True), "kept"), (logical(), "unready")])
def test_a_synchronised_slot_is_proved_by_postgresql(there: Found, state: str) -> None:
    assert states(orders(False, CDC), {"cdc": there}, frozenset(), {}, {}, 17)["cdc"].state == state


def test_an_error_is_said_of_its_slot() -> None:
    said = states(orders(True, CDC), {}, frozenset(), {}, {"cdc": "database app does not exist"}, 15)
    assert (said["cdc"].state, said["cdc"].text) == ("refused", "database app does not exist")


ROW = {"slot_name": "cdc", "slot_type": "logical", "database": "app", "plugin": "pgoutput", "active": False}


@pytest.mark.parametrize(
    ("more", "changes"),
    [
        ({"restart_lsn": "0/12C", "confirmed_flush_lsn": "0/190", "catalog_xmin": "700", "wal_status": "reserved"}, {}),
        (
            {"restart_lsn": None, "wal_status": "lost"},
            {"restart": 0, "confirmed": 0, "catalog_xmin": None, "status": "lost"},
        ),
        (
            {"restart_lsn": "0/12C", "confirmed_flush_lsn": "0/190", "catalog_xmin": "700", "wal_status": "reserved",
             "conflicting": True, "failover": True, "synced": True, "invalidation_reason": None},
            {"failover": True, "synced": True, "invalid": "conflicting"},
        ),
    ],
)  # fmt: skip
def test_a_row_of_any_version_is_read(more: dict[str, Any], changes: dict[str, Any]) -> None:
    assert found({**ROW, **more}) == logical(**changes)


# Proof of a copy


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [(5, 5, True), (5, 6, True), (6, 5, False), (2**32 - 5, 5, True), (5, 2**32 - 5, False)],
)
def test_transaction_ids_wrap_around(a: int, b: int, expected: bool) -> None:
    assert not_after(a, b) is expected


def look(
    copy: int | None, feedback: int | None, original: int, before: Proof, confirmed: int = 400, replayed: int = 900
) -> Proof:
    there = {} if copy is None else {"cdc": logical(catalog_xmin=copy, confirmed=confirmed)}
    primary = {"cdc": logical(catalog_xmin=original), "m1": physical("m1", catalog_xmin=feedback)}
    return proved(before, there, primary, "m1", frozenset({"cdc"}), replayed)


@pytest.mark.parametrize(
    ("copy", "feedback", "original", "floor", "ready"),
    [
        (None, 700, 700, {}, ()),
        (700, None, 700, {}, ()),  # nothing holds vacuum back for it yet
        (700, 701, 700, {}, ()),  # the feedback is of another slot, further on
        (700, 700, 700, {"cdc": 700}, ("cdc",)),
        (700, 700, 710, {"cdc": 710}, ()),  # 700-710 may have been vacuumed before the feedback came
        (710, 700, 710, {"cdc": 710}, ("cdc",)),
        (2, 2**32 - 4, 2**32 - 2, {"cdc": 2**32 - 2}, ("cdc",)),
    ],
)
def test_a_copy_is_proved_once_the_feedback_covers_it(
    copy: int | None, feedback: int | None, original: int, floor: dict[str, int], ready: tuple[str, ...]
) -> None:
    proof = look(copy, feedback, original, Proof(timeline=1))
    assert (proof.floor, proof.ready) == (floor, ready)


def test_the_floor_is_that_of_the_first_moment() -> None:
    first = look(700, 700, 710, Proof(timeline=1))
    assert look(709, 700, 900, first).ready == ()
    assert look(710, 700, 900, first).ready == ("cdc",), "a busy consumer keeps the original ahead for ever"


def test_a_proof_lasts_while_the_feedback_does() -> None:
    ready = look(700, 700, 700, Proof(timeline=1))
    assert look(700, 699, 720, ready).ready == ("cdc",)
    assert look(700, None, 720, ready).ready == ()


def test_a_copy_ahead_of_what_was_replayed_is_not_proved() -> None:
    """Promoted there, what is written before its position would count as confirmed."""
    assert look(700, 700, 700, Proof(), confirmed=901).ready == ()
    assert look(700, 700, 700, Proof(), confirmed=900).ready == ("cdc",)


def test_a_new_copy_is_not_proved_by_the_one_before() -> None:
    before = Proof(1, "i1", {"cdc": 700, "other": 1}, ("cdc", "other"), ("m2",))
    assert copying(before, ["cdc"], "i2") == Proof(1, "i2", {"other": 1}, ("other",), ("cdc", "m2"))


def test_who_owns_a_slot_after_a_pass() -> None:
    before = Proof(made=("old", "gone"), doubtful=("cdc",))
    there = frozenset({"cdc", "m2", "old", "theirs"})
    assert owning(before, orders(False, M2, CDC), there).made == ("cdc", "m2", "old")
    as_primary = owning(before, orders(True, M2), there)
    assert (as_primary.made, as_primary.doubtful) == (("m2",), ("cdc",))


# The primary's state file


def file(magic: int = 0x01051CA1, name: str = "cdc", restart: int = 300, confirmed: int = 400) -> bytes:
    head = struct.pack("<IIII64sIiII", magic, 0, 3, 184, name.encode(), 5, 0, 0, 700)
    return head + struct.pack("<QQQ", restart, 0, confirmed) + b"\0" * 80


def test_a_state_file_tells_its_positions() -> None:
    state = read_state("cdc", file(restart=2**32 + 0xAB, confirmed=2**33))
    assert (state.restart, state.confirmed, state.snapshot_name) == (2**32 + 0xAB, 2**33, "1-AB.snap")


@pytest.mark.parametrize(
    "data",
    [b"", file()[:100], file(magic=1), file(name="other"), file(restart=0), file(restart=500)],
)
def test_what_is_no_state_file_of_this_slot_is_not_taken(data: bytes) -> None:
    with pytest.raises(Unusable):
        read_state("cdc", data)
