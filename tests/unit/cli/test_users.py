"""`pgherd users`: a row for each, and never an old word on a new declaration."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner, Result

from pgherd.cli import observe
from pgherd.cli.users import UNTOLD, pgherd
from pgherd.kubernetes.store import UsersSeen
from pgherd.model.access import Code, Drift, Report, Said, revision, write_report

TEXT = '{"users": [{"name": "app", "secret": "demo-pguser-app"}]}'
FINE = Report(revision(TEXT), "demo-a-0", {"app": Said(Code.APPLIED, secret="7")}, {"shop": Said(Code.APPLIED)})


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(seen: UsersSeen, *words: str) -> Result:
        async def users(target: Any) -> UsersSeen:
            return seen

        monkeypatch.setattr(observe, "users", users)
        return CliRunner().invoke(pgherd, ["users", "-c", "demo", "--kubeconfig", "/none", *words])

    return run


def seen(report: Report | None) -> UsersSeen:
    return UsersSeen("1", TEXT, report and write_report(report))


def test_every_user_and_database_has_a_row(show: Any) -> None:
    said = show(seen(FINE), "-f", "tsv")
    assert said.exit_code == 0, said.output
    assert said.output.splitlines() == ["Kind\tName\tState\tWhat", "user\tapp\tapplied\t", "database\tshop\tapplied\t"]


def test_what_is_wrong_is_said_and_ends_with_a_status(show: Any) -> None:
    wrong = Report(revision(TEXT), users={"app": Said(Code.SECRET_BLANK, "run the play")},
                   drift=(Drift("2026-01-01T00:00:00.1+00:00", "set the options of role app"),))  # fmt: skip
    said = show(seen(wrong))
    assert said.exit_code == 1
    assert "secret-blank" in said.output and "run the play" in said.output
    assert "2026-01-01T00:00:00Z changed by hand and put back: set the options of role app" in said.output


@pytest.mark.parametrize("report", [None, Report("of another text", users=FINE.users)])
def test_an_old_word_is_not_shown_as_one_on_this_declaration(show: Any, report: Report | None) -> None:
    said = show(seen(report))
    assert said.exit_code == 1 and UNTOLD in said.stderr and "applied" not in said.output


def test_a_report_that_cannot_be_read_counts_as_none(show: Any) -> None:
    assert UNTOLD in show(UsersSeen("1", TEXT, "{")).stderr


def test_programs_get_the_whole_report(show: Any) -> None:
    said = show(seen(FINE), "-f", "json")
    assert '"secret": "7"' in said.output and '"member": "demo-a-0"' in said.output
