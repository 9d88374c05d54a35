"""Daemons are ended by exactly who they are."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from pgherd_lab import process
from pgherd_lab.errors import LabError


def test_a_command_name_with_spaces_and_parentheses_is_read() -> None:
    fields = " ".join(str(number) for number in range(5, 60))
    found = process.parse_stat(f"42 (tmux: (a) b) S 7 {fields}")
    assert (found.state, found.parent, found.start) == ("S", 7, 22)


def test_a_daemon_is_remembered_and_ended(tmp_path: Path) -> None:
    record = process.start(tmp_path / "records", "sleeper", ["sleep", "60"], tmp_path / "sleeper.log")
    assert process.alive(record)
    assert process.find(tmp_path / "records", "sleeper") == record
    assert os.getsid(record.pid) == record.pid, "it is in a session of its own"
    process.stop(tmp_path / "records", [record], grace=1)
    assert not process.alive(record)
    assert process.load(tmp_path / "records") == []


def test_a_recycled_pid_is_never_signalled(tmp_path: Path) -> None:
    record = process.start(tmp_path / "records", "sleeper", ["sleep", "60"], tmp_path / "sleeper.log")
    stranger = replace(record, start=record.start - 1)
    before_restart = replace(record, boot="another boot of this machine")
    try:
        for wrong in (stranger, before_restart):
            assert not process.alive(wrong)
            assert not process.send(wrong, signal.SIGKILL)
        process.stop(tmp_path / "records", [stranger], grace=0)
        assert process.alive(record)
    finally:
        process.stop(tmp_path / "records", [record], grace=0)


def test_a_half_written_record_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "etcd.json").write_text('{"name": "etcd", ')
    assert process.load(tmp_path) == []


def test_waiting_shows_the_log_of_a_daemon_that_ended(tmp_path: Path) -> None:
    log = tmp_path / "failing.log"
    record = process.start(tmp_path / "records", "failing", ["sh", "-c", "echo no such flag; exit 1"], log)
    with pytest.raises(LabError, match=r"failing ended(.|\n)*no such flag"):
        process.wait(lambda: False, 5, "it answers", [record])
    process.stop(tmp_path / "records", [record], grace=0)


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no-such-program is not installed"):
        process.run(["no-such-program"])
    with pytest.raises(LabError, match="no-such-program is not installed"):
        process.start(tmp_path, "x", ["no-such-program"], tmp_path / "x.log")


def test_a_failing_command_shows_what_it_said() -> None:
    with pytest.raises(LabError, match="ended with 3: words"):
        process.run(["sh", "-c", "echo words >&2; exit 3"])
    with pytest.raises(LabError, match=r"did not end within 0\.1 s"):
        process.run(["sleep", "5"], 0.1)
