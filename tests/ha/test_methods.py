"""Data made by programs of the user: a new cluster from a copy of another one, and members cloned by a script."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightkube.resources.core_v1 import Endpoints

from tests.ha.fenced import CONFIGURATION, PATIENCE, Fenced, members
from tests.ha.harness.cluster import Cluster
from tests.ha.harness.installed import ensure
from tests.ha.harness.python import USER
from tests.ha.harness.verdict import settled
from tests.ha.harness.wait import START, eventually

PARSED = """#!/bin/sh
for word; do
  case "$word" in
    --datadir=*) datadir="${word#*=}";;
    --connstring=*) connstring="${word#*=}";;
    --from=*) from="${word#*=}";;
  esac
done
"""
COPY = 'exec cp -a "$from" "$datadir"'
BASEBACKUP = 'exec "$from/pg_basebackup" -D "$datadir" -d "$connstring" -X stream -c fast'


def bin_directory() -> str:
    return f"/usr/lib/postgresql/{ensure()}/bin"


def script(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(PARSED + text + "\n")
    path.chmod(0o755)
    return str(path)


def as_user(*words: str) -> str:
    command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *words]
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd="/")
    assert done.returncode == 0, f"{words}: {done.stdout}"
    return done.stdout


@pytest.fixture
def other(cluster: Cluster) -> Path:
    """The data of another cluster, shut down cleanly on timeline 2. Every new database has table `carried`."""
    path, programs = cluster.folder / "other", bin_directory()
    path.mkdir()
    subprocess.run(["chown", f"{USER}:{USER}", str(path)], check=True)
    data = str(path / "data")
    start = (f"{programs}/pg_ctl", "-D", data, "-w", "-l", str(path / "log"), "-o", f"-k {path} -c listen_addresses=",
             "start")  # fmt: skip
    as_user(f"{programs}/initdb", "-D", data, "-U", "postgres", "--auth=trust", "--data-checksums")
    as_user(*start)
    sql = "create table carried as select 42 as n; grant select on carried to public; create role stranger"
    as_user(f"{programs}/psql", "-h", str(path), "-U", "postgres", "-c", sql, "template1")
    as_user(f"{programs}/pg_ctl", "-D", data, "-w", "stop")
    as_user("touch", f"{data}/standby.signal")
    as_user(*start)
    as_user(f"{programs}/pg_ctl", "-D", data, "-w", "promote")
    as_user(f"{programs}/pg_ctl", "-D", data, "-w", "stop")
    return path / "data"


def identifier(data: Path) -> str:
    lines = as_user(f"{bin_directory()}/pg_controldata", str(data)).splitlines()
    return next(line for line in lines if line.startswith("Database system identifier")).split()[-1]


def test_a_new_cluster_begins_with_a_copy_and_its_members_are_cloned_by_a_script(cluster: Cluster, other: Path) -> None:
    """The first method fails, the second makes a copy of another cluster (S6), the third is used."""
    folder = cluster.folder
    carry = {"command": script(folder, "carry", COPY), "from": str(other)}
    postgresql: dict[str, Any] = {
        "create_replica_methods": ["broken", "strange", "streaming"],
        "broken": {"command": script(folder, "broken", "mkdir $datadir; touch $datadir/PG_VERSION; exit 7")},
        "strange": {"command": script(folder, "strange", COPY), "from": str(other.parent / "strange")},
        "streaming": {"command": script(folder, "streaming", BASEBACKUP), "from": bin_directory()},
    }
    as_user(f"{bin_directory()}/initdb", "-D", str(other.parent / "strange"), "-U", "postgres", "--auth=trust")
    cluster.configure(postgresql=postgresql)
    for member in cluster.members.values():
        path = member.folder / "pgherd.yaml"
        bootstrap = {"bootstrap": {"method": "carry", "carry": carry}}
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | bootstrap))
    cluster.start()
    leader = cluster.wait_ready(START * 2)
    settled(cluster, leader, START)
    assert cluster.timeline(leader) == 3
    configuration = cluster.objects.client.get(Endpoints, f"{cluster.name}-ha-config").metadata
    assert configuration and (configuration.annotations or {})["initialize"] == identifier(other)
    for member in cluster.members.values():
        assert cluster.database.ask(member.address, "select n from carried") == [(42,)]
        log = member.log.read_text(errors="replace")
        cloned = member is not leader
        assert ("broken: broken ended with status 7" in log) is cloned
        assert ("copy of another cluster (S6)" in log) is cloned


@pytest.fixture
def pair() -> Iterator[list[Fenced]]:
    with members(2, 25560) as made:
        yield made


@pytest.mark.parametrize("astray", [False, True], ids=["where it should", "where the data belong"])
def test_what_a_killed_program_left_is_no_data(pair: list[Fenced], astray: bool) -> None:
    """It works where it was told to, or where it thinks that the data belong: after the death of the container neither
    is anything that could start, and the next try makes a copy."""
    leader, member = pair
    leader.start()
    leader.primary()
    place = str(member.data) if astray else "$datadir"
    half = f'cp -a "$from" "{place}"; touch "{place}/half"; exec sleep 600'
    leader.do("stop", limit=30)
    section = {"command": script(leader.root, "half", half), "from": str(leader.data)}
    leader.do("start", writable=True, source=None, configuration=CONFIGURATION)
    slow = {"postgresql": {**CONFIGURATION["postgresql"], "create_replica_methods": ["half"], "half": section}}
    member.start()
    member.do_later("clone", source=leader.source, replace=False, configuration=slow)
    there = member.data if astray else member.data.with_name("data.new")
    eventually("half a copy", lambda: (there / "half").exists(), PATIENCE)
    member.close()
    member.start()
    assert member.do("observe")["data"] == "empty"
    assert not there.exists() or not list(there.iterdir())
    member.do("clone", source=leader.source, replace=False, configuration=CONFIGURATION)
    assert member.do("observe")["data"] == "present"
