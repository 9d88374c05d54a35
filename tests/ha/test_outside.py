"""WAL and tablespaces on volumes of their own: made there, moved there and back, cloned, rewound, nothing left over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ha.fenced import CONFIGURATION, PATIENCE, Failed, Fenced, members
from tests.ha.harness.volume import Volume
from tests.ha.harness.wait import eventually

MEBIBYTE = 1024 * 1024


@pytest.fixture
def pair() -> Iterator[list[Fenced]]:
    """Two members; each has an ext4 for its WAL, another file system than that of its data."""
    volumes = []
    try:
        with members(2, 25580) as made:
            for member in made:
                volumes.append(Volume(member.root / "wal", 320))
            yield made
    finally:
        for volume in volumes:
            volume.unmount()


def place(member: Fenced, **volumes: Any) -> None:
    """Other static settings, as with a new pod: a new agent reads them."""
    path = member.root / "settings.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["volumes"] = {member.name: volumes}
    path.write_text(yaml.safe_dump(settings))


def home(member: Fenced) -> Path:
    return member.root / "wal" / "pg_wal"


def wal(member: Fenced) -> Path:
    """Where pg_wal is."""
    return (member.data / "pg_wal").resolve()


def start(member: Fenced, **how: Any) -> None:
    member.do("start", **{"writable": False, "source": None, "configuration": CONFIGURATION} | how)


def follow(member: Fenced, primary: Fenced) -> None:
    primary.do("keep_slots", names=[member.name.replace("-", "_")])
    start(member, source=primary.source)
    eventually(f"{member.name} streams", lambda: member.do("observe")["streaming"], PATIENCE)


def rows(member: Fenced) -> int:
    return int(member.do("sql", sql="SELECT count(*) FROM t")[0][0])


def caught_up(member: Fenced, primary: Fenced) -> None:
    end = int(primary.do("observe")["position"]["lsn"])
    eventually(f"{member.name} has it all", lambda: int(member.do("observe")["replayed"]) >= end, PATIENCE)


def left_over(member: Fenced) -> list[Path]:
    """What is on the WAL volume or beside the data directory and belongs to nobody."""
    state = member.root / "volume/state"
    beside = [*member.data.parent.glob("data.*"), *state.glob("pg_wal*")]
    return [*beside, *(path for path in (member.root / "wal").iterdir() if path.resolve() != wal(member))]


def test_wal_moves_to_its_volume_and_back_with_everything_in_it(pair: list[Fenced]) -> None:
    member, _ = pair
    member.start()
    member.primary()
    member.do("sql", sql="CREATE TABLE t AS SELECT generate_series(1, 100) AS n")
    free = member.do("observe")["free"]
    member.do("kill")  # crash recovery needs every record of it
    for wanted in (home(member), member.data / "pg_wal"):
        member.close()
        place(member, wal_directory=str(wanted) if wanted == home(member) else None)
        member.start()
        member.do("arm", seconds=600)
        start(member, writable=True)
        assert (wal(member), rows(member), left_over(member)) == (wanted, 100, [])
        if wanted == home(member):
            assert member.do("observe")["free"] < min(free, 320 * MEBIBYTE), "the smaller volume counts"
        member.do("kill")


def test_a_volume_that_is_not_mounted_starts_nothing(pair: list[Fenced]) -> None:
    member, _ = pair
    place(member, wal_directory=str(home(member)))
    member.start()
    member.primary()
    member.do("stop", limit=30)
    home(member).rename(home(member).with_name("elsewhere"))
    with pytest.raises(Failed, match="is the WAL volume mounted"):
        start(member, writable=True)
    home(member).with_name("elsewhere").rename(home(member))
    start(member, writable=True)


def test_a_clone_and_a_rewind_keep_to_the_volumes(pair: list[Fenced]) -> None:
    old, new = pair
    tablespace = old.root / "volume" / "space"
    place(old, wal_directory=str(home(old)), tablespaces=[str(tablespace)])
    place(new, wal_directory=str(home(new)))
    old.start()
    old.primary()
    old.do("sql", sql=f"CREATE TABLESPACE space LOCATION '{tablespace}'")
    old.do("sql", sql="CREATE TABLE t TABLESPACE space AS SELECT generate_series(1, 100) AS n")
    new.start()
    new.do("clone", source=old.source, replace=False, configuration=CONFIGURATION)
    follow(new, old)
    assert (wal(old), wal(new), rows(new)) == (home(old), home(new), 100)
    (copied,) = new.do("sql", sql="SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'space'")[0]
    assert copied == f"{tablespace}.1", "the two share a file system here: the copy keeps beside what is there"
    caught_up(new, old)

    new.do("follow", source=None, configuration=CONFIGURATION)
    eventually("the receiver is gone", lambda: not new.do("observe")["streaming"], PATIENCE)
    old.do("sql", sql="INSERT INTO t SELECT generate_series(1, 1000)")
    old.do("kill")
    new.do("arm", seconds=600)
    new.do("promote", timeline=3)
    new.do("sql", sql="INSERT INTO t SELECT generate_series(1, 10)")
    eventually("the end of the WAL is known", lambda: old.do("observe")["position"], PATIENCE)
    old.do("rewind", source=new.source)
    follow(old, new)
    caught_up(old, new)
    assert (rows(old), wal(old)) == (110, home(old))
    divergent = old.root / "volume/state/divergent"
    assert list(divergent.glob("*/0000000100000000*")), "the divergent WAL was not kept aside (S5)"

    old.do("stop", limit=30)
    old.do("clone", source=new.source, replace=True, configuration=CONFIGURATION)
    follow(old, new)
    assert rows(old) == 110 and wal(old) == home(old).with_name("pg_wal.1")
    assert left_over(old) == [] and not list(tablespace.glob("PG_*")), "what the replaced data had outside is gone"
