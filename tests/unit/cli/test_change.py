"""The commands that change something, against an API in memory: nothing is lost, nothing is written unasked."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from pgherd.cli import observe, target
from pgherd.cli.change import pgherd
from pgherd.kubernetes.store import ConfigSeen, Conflict, LockSeen, StoreError, Unanswered
from pgherd.model.lease import Lease
from pgherd.model.member import MemberStatus
from tests.unit.cli.observations import TARGET, observation
from tests.unit.decide.views import lease, status

CONFIG = {"loop_wait": 10, "ttl": 30, "retry_timeout": 10}


class Api:
    """What the commands see and write. `interfere` runs just before a write."""

    def __init__(self) -> None:
        self.seen_config = ConfigSeen("3", "7000", json.dumps(CONFIG))
        self.seen_lock = LockSeen(lease(), "7")
        self.answers: dict[str, MemberStatus | None] = {"m0": None}
        self.interfere: StoreError | None = None
        self.lost_reply = False
        self.writes = 0

    @property
    def configuration(self) -> Any:
        return json.loads(self.seen_config.config or "{}")

    async def config(self) -> ConfigSeen:
        return self.seen_config

    async def write_config(self, annotations: Mapping[str, str | None], version: str) -> None:
        if self.interfere or version != self.seen_config.version:
            raise self.interfere or Conflict("modified")
        self.writes += 1
        self.seen_config = msgspec.structs.replace(self.seen_config, version=version + "1", **annotations)
        if self.lost_reply:
            raise Unanswered("patch endpoints: no answer within 5 s")

    async def write_lock(self, record: Lease, version: str) -> None:
        if self.interfere or version != self.seen_lock.version:
            raise self.interfere or Conflict("modified")
        self.seen_lock = LockSeen(record, version + "1")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    one = Api()

    async def look(where: Any) -> Any:
        return observation(config=one.seen_config, lock=one.seen_lock, answers=one.answers)

    @contextlib.asynccontextmanager
    async def opened(where: Any) -> AsyncIterator[Api]:
        yield one

    monkeypatch.setattr(target, "find", lambda asked: TARGET)
    monkeypatch.setattr(observe, "read", look)
    monkeypatch.setattr(observe, "look", look)
    monkeypatch.setattr(observe, "opened", opened)
    return one


def run(*words: str, answer: str = "") -> Result:
    return CliRunner().invoke(pgherd, words, input=answer)


def paused() -> LockSeen:
    holder = lease().holder
    assert holder is not None
    return LockSeen(lease(pause=True, holder=msgspec.structs.replace(holder, pause=True)), "7")


def test_an_edit_is_shown_asked_for_and_written(api: Api) -> None:
    said = run("edit-config", "-s", "ttl=40", "-p", "work_mem=8MB", answer="y\n")
    assert said.exit_code == 0 and "-ttl: 30" in said.output and "+ttl: 40" in said.output
    assert api.configuration == {**CONFIG, "ttl": 40, "postgresql": {"parameters": {"work_mem": "8MB"}}}


def test_whoever_says_no_changes_nothing(api: Api) -> None:
    said = run("edit-config", "-s", "ttl=40", answer="n\n")
    assert said.exit_code == 1 and "nothing was written" in said.stderr and api.writes == 0


def test_a_value_that_cannot_work_is_refused_before_anything_is_asked(api: Api) -> None:
    said = run("edit-config", "-s", "ttl=12", "--force")
    assert said.exit_code == 1 and "ttl=12" in said.stderr and api.writes == 0 and "Apply" not in said.output


def test_a_file_is_merged(api: Api, tmp_path: Path) -> None:
    (tmp_path / "change").write_text("ttl: null\npause: true\n")
    assert run("edit-config", "--apply", str(tmp_path / "change"), "--force").exit_code == 1  # ttl 10 < 10 + 10 + ...
    (tmp_path / "change").write_text("ttl: 40\n")
    assert run("edit-config", "--apply", str(tmp_path / "change"), "--force").exit_code == 0
    assert run("edit-config", "--apply", "-", "--force", answer="maximum_lag_on_failover: 5\n").exit_code == 0
    assert api.configuration == {**CONFIG, "ttl": 40, "maximum_lag_on_failover": 5}


def test_somebody_elses_edit_is_never_lost(api: Api) -> None:
    api.interfere = Conflict("the object has been modified")
    said = run("edit-config", "-s", "ttl=40", "--force")
    assert said.exit_code == 1 and "somebody else" in said.stderr and api.configuration == CONFIG


def test_nothing_to_change_writes_nothing(api: Api) -> None:
    said = run("edit-config", "-s", "ttl=30", "--force")
    assert said.exit_code == 0 and "Nothing to change" in said.output and api.writes == 0


def test_a_write_whose_reply_was_lost_is_read_back(api: Api) -> None:
    api.lost_reply = True
    assert run("edit-config", "-s", "ttl=40", "--force").exit_code == 0


def test_an_unknown_key_is_told(api: Api) -> None:
    said = run("edit-config", "-s", "tttl=40", "--force")
    assert said.exit_code == 0 and "does not know tttl" in said.stderr


def test_pause_and_resume_are_a_key_of_the_configuration(api: Api) -> None:
    assert run("pause").exit_code == 0 and api.configuration == {**CONFIG, "pause": True}
    assert run("pause").exit_code == 0 and api.writes == 1
    assert run("resume").exit_code == 0 and api.configuration == CONFIG


def test_waiting_ends_when_the_leader_has_recorded_it(api: Api) -> None:
    api.seen_lock = paused()
    said = run("pause", "--wait")
    assert said.exit_code == 0 and "Maintenance mode: on" in said.output


def test_waiting_for_nobody_fails_and_says_so(api: Api) -> None:
    api.seen_lock = paused()
    said = run("resume", "--wait", "--timeout", "1")
    assert said.exit_code == 1 and "--leader-is-dead" in said.stderr


def test_a_persons_word_frees_a_paused_lease(api: Api) -> None:
    api.seen_lock = paused()
    said = run("resume", "--leader-is-dead", answer="y\n")
    record = api.seen_lock.record
    assert said.exit_code == 0 and record is not None and record.free and not record.pause and record.epoch == 6


@pytest.mark.parametrize("words", [{"holds_until": 5.0}, {"role": "primary"}])
def test_a_leader_that_answers_is_not_dead(api: Api, words: Any) -> None:
    api.seen_lock, api.answers = paused(), {"m0": status("m0", **words)}
    said = run("resume", "--leader-is-dead", "--force")
    assert said.exit_code == 1 and "it is not dead" in said.stderr and api.seen_lock == paused()


def test_a_lease_that_is_not_paused_is_nobodys_to_free(api: Api) -> None:
    said = run("resume", "--leader-is-dead", "--force")
    assert said.exit_code == 0 and "not paused" in said.output and api.seen_lock.record == lease()


def test_a_lease_that_moves_meanwhile_is_held_by_somebody(api: Api) -> None:
    api.seen_lock = paused()
    run("resume")
    api.interfere = Conflict("the object has been modified")
    said = run("resume", "--leader-is-dead", "--force")
    assert said.exit_code == 1 and "somebody holds it" in said.stderr
