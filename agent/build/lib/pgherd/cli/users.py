"""`pgherd users`: what became of declared users and databases, in the words of the primary's agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pgherd.cli.commands import FORMATS, find_target, of_cluster, perform, pgherd

if TYPE_CHECKING:
    from pgherd.kubernetes.store import UsersSeen
    from pgherd.model.access import Report

HEADER = ("Kind", "Name", "State", "What")
UNTOLD = "no primary has taken this declaration up yet"


@pgherd.command("users")
@of_cluster
@click.option("-f", "--format", "form", type=FORMATS, default="table", show_default=True)
def users_(form: str, **asked: str | None) -> None:
    """Show declared users and databases: whether they are as declared, and what was put back lately.

    Passwords are in Secrets CLUSTER-pguser-USER. Exit status 1 when something is not as declared.
    """
    from pgherd.cli import observe, show

    where = find_target(**asked)
    seen = perform(observe.users(where))
    report = report_of(seen)
    if form in ("json", "yaml"):
        click.echo(show.document(report, form))
    elif form == "tsv":
        click.echo(show.tsv(HEADER, rows(report)))
    else:
        show.grid(f"Cluster: {where.cluster}", HEADER, rows(report), show.console())
        for drift in report.drift:
            click.echo(f"{drift.at[:19]}Z changed by hand and put back: {drift.what}")
    if report.trouble:
        raise click.ClickException(report.trouble)
    if report.wrong:
        raise click.exceptions.Exit(1)


def report_of(seen: UsersSeen) -> Report:
    """The agents' word on exactly this declaration, or that there is none yet."""
    from pgherd.model.access import Report, read_report, revision

    report, now = read_report(seen.report), revision(seen.text)
    if report is not None and report.revision == now:
        return report
    return Report(now, trouble=UNTOLD)


def rows(report: Report) -> list[tuple[str, str, str, str]]:
    return [
        (kind, name, said.code.value, said.text)
        for kind, found in (("user", report.users), ("database", report.databases))
        for name, said in sorted(found.items())
    ]
