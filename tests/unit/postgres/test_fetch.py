"""`restore_command` and what makes it stand aside: real processes."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from pgherd.model.settings import PostgresSettings
from pgherd.postgres import fetch, fetching
from pgherd.postgres.layout import Layout

WITHIN = 30.0


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    settings = PostgresSettings(17, "/nowhere", str(tmp_path / "data"), str(tmp_path / "state"))
    made = Layout(settings, str(tmp_path / "tmp"))
    fetching.go(made)
    return made


def as_postgres_runs_it(layout: Layout, command: str) -> list[str]:
    line = fetching.command_line(layout, command, remote=False)
    for placeholder, text in (("%f", "000000010000000000000001"), ("%p", "pg_wal/RECOVERYXLOG"), ("%%", "%")):
        line = line.replace(placeholder, text)
    return ["/bin/sh", "-c", line]


def children(process: subprocess.Popen[bytes], mark: str) -> list[int]:
    found = []
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdigit() and mark in (path / "cmdline").read_text():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def hanging(layout: Layout, tmp_path: Path) -> tuple[subprocess.Popen[bytes], str]:
    begun, mark = tmp_path / "begun", f"{tmp_path}/mark"
    command = f"touch {begun}; sleep 600 & echo {mark} %f %p; wait"
    process = subprocess.Popen(as_postgres_runs_it(layout, command), stdout=subprocess.DEVNULL)
    end = time.monotonic() + WITHIN
    while not begun.exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert begun.exists()
    return process, mark


def test_a_file_is_fetched_and_what_fails_is_no_order_to_stop(layout: Layout, tmp_path: Path) -> None:
    target = tmp_path / "it's"
    quoted = shlex.quote(str(target))
    done = subprocess.run(as_postgres_runs_it(layout, f"printf '%s %s' %f %p > {quoted}"), check=False, timeout=WITHIN)
    assert done.returncode == 0
    for command in ("exit 3 %f %p", "kill -9 $$ %f %p", "/no/such/program %f %p"):
        done = subprocess.run(as_postgres_runs_it(layout, command), check=False, timeout=WITHIN, capture_output=True)
        assert done.returncode == 1, command


@pytest.mark.parametrize("order", [fetching.stop, fetching.turn])
def test_one_that_hangs_stands_aside_with_all_that_it_started(layout: Layout, tmp_path: Path, order: object) -> None:
    process, mark = hanging(layout, tmp_path)
    assert process.poll() is None
    order(layout)  # type: ignore[operator]
    assert process.wait(WITHIN) == 1
    assert not children(process, mark)


def test_an_archive_that_hung_is_not_waited_for_again_at_once(layout: Layout, tmp_path: Path) -> None:
    """On the way to another source one history after the other is asked for."""
    fetching.turn(layout)
    began = time.monotonic()
    assert fetch.fetch(str(layout.fetching), "sleep 600") == 1
    assert time.monotonic() - began < fetch.LIMIT / 2
    assert fetch.fetch(str(layout.fetching), f"touch {tmp_path}/well") == 0
    assert not (layout.fetching / "sick").exists()


def test_it_ends_with_whoever_waits_for_it(layout: Layout, tmp_path: Path) -> None:
    process, mark = hanging(layout, tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(WITHIN)
    end = time.monotonic() + WITHIN
    while children(process, mark) and time.monotonic() < end:
        time.sleep(0.02)
    assert not children(process, mark)


def test_nothing_is_begun_during_a_promotion_and_a_bound_is_kept(layout: Layout, tmp_path: Path) -> None:
    assert fetch.fetch(str(layout.fetching), "sleep 600", limit=0.1) == 1
    fetching.stop(layout)
    assert fetch.fetch(str(layout.fetching), f"touch {tmp_path}/begun") == 1
    assert not (tmp_path / "begun").exists()
    fetching.go(layout)
    assert fetch.fetch(str(layout.fetching), f"touch {tmp_path}/begun") == 0
