"""The commands that ask the agents for something: one request on the API, then its outcome.

A request is an annotation of ConfigMap `<cluster>-ha-failover` (model.request); the agents execute it, so it goes on
when this program ends, and the same `--id` twice is one request.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from pgherd.cli.commands import DOCUMENTS, F, find_target, of_cluster, perform, pgherd, show_members

if TYPE_CHECKING:
    from pgherd.cli.target import Target
    from pgherd.model.request import Request

WAIT = 180.0
"""Seconds that a command waits for its outcome unless told otherwise."""


def of_request(command: F) -> F:
    for option in (
        click.option("--id", "identifier", metavar="ID", help="The request's own name: a repeat is the same request."),
        click.option("--timeout", type=click.FloatRange(min=0), default=WAIT, show_default=True, metavar="SECONDS",
                     help="How long to wait for the outcome; the request stays."),
        click.option("--force", is_flag=True, help="Do not ask first."),
    ):  # fmt: skip
        command = option(command)
    return command


@pgherd.command()
@of_cluster
@of_request
@click.option("--candidate", metavar="MEMBER", help="Who is to lead.  [default: the best candidate]")
@click.option("--leader", metavar="MEMBER", help="Only if this member leads.")
@click.option("--scheduled", metavar="TIME", help="Not before this time: 2026-01-31T22:00:00+00:00.")
def switchover(
    candidate: str | None, leader: str | None, scheduled: str | None,
    force: bool, timeout: float, identifier: str | None, **asked: str | None,
) -> None:  # fmt: skip
    """Let another member lead; clients are interrupted for a fraction of a second, and nothing is lost.

    The leader stops, the candidate receives everything, is named in the lease, and promotes. If it cannot, the
    leader goes on.
    """
    from pgherd.model.request import Verb

    where = find_target(**asked)
    to = candidate or "the best candidate"
    _confirm(where, force, f"Switch over to {to}{f' at {scheduled}' if scheduled else ''}?")
    _ask(where, Verb.SWITCHOVER, candidate, timeout, identifier, leader=leader, not_before=scheduled or "")


@pgherd.command()
@of_cluster
@of_request
@click.option("--candidate", metavar="MEMBER", required=True, help="Who is to lead.")
@click.option("--accept-loss", is_flag=True, help="It may lack WAL that was acknowledged; the receipt says how much.")
@click.option("--leader-is-dead", is_flag=True, help="Your word: the leader's PostgreSQL is dead. Do not wait for it.")
def failover(
    candidate: str, accept_loss: bool, leader_is_dead: bool,
    force: bool, timeout: float, identifier: str | None, **asked: str | None,
) -> None:  # fmt: skip
    """Let MEMBER lead although the leader is gone.

    With a leader that works this is a switchover. Without one the member takes the lease once it has ended;
    `--leader-is-dead` does not wait for that, and is refused when the leader answers. If you are wrong about it,
    two members accept writes: look at its node first.
    """
    from pgherd.model.request import Parameters, Verb

    where = find_target(**asked)
    _confirm(where, force, f"Fail over to {candidate}{', whatever it lacks' if accept_loss else ''}?")
    parameters = Parameters(accept_loss=accept_loss, leader_is_dead=leader_is_dead)
    _ask(where, Verb.FAILOVER, candidate, timeout, identifier, parameters=parameters)


@pgherd.command()
@of_cluster
@of_request
@click.argument("members", nargs=-1, metavar="[MEMBER]...")
@click.option("--role", type=click.Choice(["leader", "replica", "any"]), default="any", show_default=True)
@click.option("--pending", is_flag=True, help="Only where a parameter waits for a restart.")
def restart(
    members: tuple[str, ...], role: str, pending: bool,
    force: bool, timeout: float, identifier: str | None, **asked: str | None,
) -> None:  # fmt: skip
    """Restart PostgreSQL of these members, or of all: replicas first, one after the other, the leader last.

    A leader stays the leader: its clients are cut off for the time of a restart. To spare them, switch over first.
    """
    from pgherd.model.request import Parameters, Verb

    where = find_target(**asked)
    names, parameters = _members(where, members, role), Parameters(only_pending=pending)
    _confirm(where, force, f"Restart PostgreSQL of {', '.join(names)}{', where something waits for it' * pending}?")
    for name in names:
        number = identifier and f"{identifier}-{names.index(name)}"
        _ask(where, Verb.RESTART, name, timeout, number, parameters=parameters)
        _streams(where, name, timeout)


@pgherd.command()
@of_cluster
@of_request
@click.argument("members", nargs=-1, metavar="[MEMBER]...")
def reload(members: tuple[str, ...], force: bool, timeout: float, identifier: str | None, **asked: str | None) -> None:
    """Let PostgreSQL of these members, or of all, read its configuration again."""
    from pgherd.model.request import Verb

    where = find_target(**asked)
    names = _members(where, members, "any")
    _confirm(where, force, f"Reload PostgreSQL of {', '.join(names)}?")
    for name in names:
        _ask(where, Verb.RELOAD, name, timeout, identifier and f"{identifier}-{names.index(name)}")


@pgherd.command()
@of_cluster
@of_request
@click.argument("member")
def reinit(member: str, force: bool, timeout: float, identifier: str | None, **asked: str | None) -> None:
    """Replace the data of a replica by a copy of the leader's.

    WAL of it that the leader lacks is kept aside in its volume. The time that this takes depends on the size of the
    data: `--timeout` only bounds how long this command waits.
    """
    from pgherd.model.request import Verb

    where = find_target(**asked)
    _confirm(where, force, f"Replace all data of {member} by a copy of the leader's?")
    _ask(where, Verb.REINITIALIZE, member, timeout, identifier)


@pgherd.command()
@of_cluster
@click.option("-f", "--format", "form", type=DOCUMENTS, default="yaml", show_default=True)
def requests(form: str, **asked: str | None) -> None:
    """Show what was asked for, by whom, and what became of it; finished ones for an hour."""
    from pgherd.cli import request, show

    click.echo(show.document(perform(request.read(find_target(**asked))), form))


@pgherd.command()
@of_cluster
@click.argument("identifier", metavar="ID")
def cancel(identifier: str, **asked: str | None) -> None:
    """Take back a request that nobody has begun, as a scheduled switchover."""
    from pgherd.cli import request

    _told(perform(request.cancel(find_target(**asked), identifier)))


def _ask(
    where: Target, verb: Any, member: str | None, limit: float, identifier: str | None, **more: Any
) -> None:  # fmt: skip
    """Send it, wait, and tell. Raises ClickException unless it is done (or only scheduled)."""
    from pgherd.cli import request
    from pgherd.model.settings import InvalidSetting

    try:
        made = request.make(verb, member, identifier, **more)
    except InvalidSetting as error:
        raise click.ClickException(str(error)) from None
    _told(perform(request.ask(where, made, limit, _say)))


def _told(outcome: Request) -> None:
    from pgherd.model.request import Stage

    text = f"{outcome.verb.value} {outcome.id} is {outcome.state.value}"
    text += f": {outcome.reason}" if outcome.reason else ""
    if outcome.state is Stage.DONE or (outcome.state is Stage.PENDING and outcome.not_before):
        click.echo(text)
    elif outcome.state in (Stage.PENDING, Stage.RUNNING):
        raise click.ClickException(f"{text} still; it goes on: pgherd requests shows it")
    else:
        raise click.ClickException(text)


def _say(outcome: Request) -> None:
    click.echo(f"{outcome.verb.value} {outcome.id} is {outcome.state.value}", err=True)


def _confirm(where: Target, force: bool, question: str) -> None:
    if force:
        return
    show_members(where, "table")
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody can be asked here: --force says yes.")
    click.confirm(question, abort=True)


def _members(where: Target, named: tuple[str, ...], role: str) -> tuple[str, ...]:
    """Declared or living members with this role, replicas first. Raises ClickException for an unknown name."""
    from pgherd.cli import observe, table

    rows = table.table(perform(observe.look(where))).members
    known = {row.member: row for row in rows}
    for name in named:
        if name not in known:
            raise click.ClickException(f"{name!r} is no member: must be one of {', '.join(sorted(known))}")
    fits = {"any": (True, False), "leader": (True,), "replica": (False,)}[role]
    chosen = [row for row in rows if (not named or row.member in named) and row.leads in fits]
    if not chosen:
        raise click.ClickException(f"no member has the role {role}")
    return tuple(row.member for row in sorted(chosen, key=lambda row: (row.leads, row.member)))


def _streams(where: Target, name: str, limit: float) -> None:
    """Before the next one: a replica streams again. Raises ClickException when it does not in time."""
    import time

    from pgherd.cli import observe, table

    end = time.monotonic() + limit
    while time.monotonic() < end:
        row = next((row for row in table.table(perform(observe.look(where))).members if row.member == name), None)
        if row is not None and (row.state in ("streaming", "not asked") or row.leads):
            return
        time.sleep(0.5)
    raise click.ClickException(f"{name} was restarted and does not stream within {limit:g} s; the others are untouched")
