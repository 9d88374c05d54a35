"""What the commands that change something say before they reach a cluster, and how a request is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgherd.cli import asking, request
from pgherd.cli.commands import pgherd
from pgherd.kubernetes.request_text import seconds
from pgherd.model.request import Stage, Verb
from pgherd.model.settings import InvalidSetting
from tests.unit.cli.test_commands import SETTINGS, nowhere, run

__all__ = ["nowhere"]
COMMANDS = ("switchover", "failover", "restart", "reload", "reinit", "requests", "cancel")
NEEDED = {"failover": ("--candidate", "m1"), "reinit": ("m1",), "cancel": ("one",)}


def test_each_is_listed_and_explains_itself() -> None:
    listed = run("--help").output
    for name in COMMANDS:
        assert f"  {name} " in listed
        said = run(name, "--help")
        assert said.exit_code == 0 and len(said.output.splitlines()) > 10
    assert asking.switchover is pgherd.commands["switchover"]


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_cluster_the_way_out_is_named(command: str) -> None:
    said = run(command, *NEEDED.get(command, ()), *(("--force",) if command not in ("requests", "cancel") else ()))
    assert said.exit_code == 1 and "--cluster" in said.stderr and "Traceback" not in said.stderr


@pytest.mark.parametrize("words", [("failover",), ("reinit",), ("cancel",), ("restart", "--role", "king")])
def test_what_is_missing_is_wrong_usage(words: tuple[str, ...]) -> None:
    assert run(*words).exit_code == 2


def test_a_request_is_made_with_who_when_and_until() -> None:
    made = request.make(Verb.SWITCHOVER, "m1", None, leader="m0")
    assert (made.verb, made.member, made.leader, made.state) == (Verb.SWITCHOVER, "m1", "m0", Stage.PENDING)
    assert made.id and made.by.startswith("pgherd in ")
    assert seconds(made.expires, "") - seconds(made.at, "") == request.EXPIRES
    later = request.make(Verb.SWITCHOVER, None, "mine", not_before="2100-01-01T00:00:00+00:00")
    assert later.id == "mine" and later.expires == "2100-01-01T00:01:00+00:00"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"identifier": "Mine!"}, "id='Mine!'"),
        ({"not_before": "tomorrow"}, "--scheduled='tomorrow'"),
        ({"not_before": "2001-01-01T00:00:00+00:00"}, "must be in the future"),
    ],
)
def test_what_cannot_work_is_refused_before_it_is_sent(changes: dict[str, str], text: str) -> None:
    with pytest.raises(InvalidSetting, match=text):
        request.make(Verb.SWITCHOVER, "m1", changes.pop("identifier", None), **changes)


def test_a_schedule_that_is_no_time_is_told_like_every_other_mistake(nowhere: Path) -> None:
    (nowhere / "pgherd.yaml").write_text(SETTINGS)
    said = run("switchover", "--force", "--scheduled", "tomorrow")
    assert said.exit_code == 1 and "tomorrow" in said.stderr and "Traceback" not in said.stderr
