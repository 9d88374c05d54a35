"""The commands that change a cluster: its dynamic configuration, and the pause that is a key of it.

Each change is a compare-and-swap on what was shown: somebody else's edit in between is never lost, it refuses ours.
"""

from __future__ import annotations

import time
import uuid
from typing import IO, TYPE_CHECKING

import click

from pgherd.cli.commands import find_target, of_cluster, perform, pgherd, read

if TYPE_CHECKING:
    from pgherd.cli.observe import Observation
    from pgherd.cli.target import Target
    from pgherd.model.lease import Lease
    from pgherd.postgres.change import Document

__all__ = ["pgherd"]

POLL = 0.5


def _configuration(seen: Observation) -> Document:
    from pgherd.model.settings import InvalidSetting
    from pgherd.postgres import change

    if not seen.config.version:
        raise click.ClickException(f"Endpoints {seen.target.cluster}-ha-config is missing: run the play, it makes it")
    try:
        return change.document(seen.config.config, "annotation config")
    except InvalidSetting as error:
        raise click.ClickException(str(error)) from None


async def _write(target: Target, version: str, text: str) -> None:
    """Raises what the API says; no answer is read back."""
    from pgherd.cli import observe
    from pgherd.kubernetes.store import Conflict, Unanswered

    async with observe.opened(target) as api:
        try:
            await api.write_config({"config": text}, version)
        except Conflict:
            raise click.ClickException(
                "somebody else changed the configuration meanwhile: nothing was written, look at it and try again"
            ) from None
        except Unanswered:
            if (await api.config()).config != text:
                raise


def _store(seen: Observation, before: Document, after: Document) -> bool:
    """Check and write; whether anything changed."""
    from pgherd.model.settings import InvalidSetting
    from pgherd.postgres import change

    try:
        text = change.checked(before, after)
    except InvalidSetting as error:
        raise click.ClickException(str(error)) from None
    if before == after:
        return False
    perform(_write(seen.target, seen.config.version, text))
    return True


@pgherd.command("edit-config")
@of_cluster
@click.option("-s", "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting; NAME may have dots.")
@click.option("-p", "--pg", "parameters", multiple=True, metavar="NAME=VALUE", help="A PostgreSQL parameter.")
@click.option("--apply", "file", type=click.File("r"), metavar="FILE|-", help="Merge YAML or JSON from a file.")
@click.option("--force", is_flag=True, help="Do not ask.")
def edit_config(
    settings: tuple[str, ...], parameters: tuple[str, ...], file: IO[str] | None, force: bool,
    **asked: str | None,
) -> None:  # fmt: skip
    """Change the dynamic configuration.

    Without -s, -p and --apply an editor opens. A value is YAML; none, or null, removes the setting. What no agent would
    obey is refused before anything is written. The difference is shown, and then you are asked.
    """
    from pgherd.cli import edit
    from pgherd.model.settings import InvalidSetting
    from pgherd.postgres import change

    seen = read(asked)
    before = _configuration(seen)
    try:
        after = before
        if file is not None:
            after = change.merged(after, change.document(file.read(), file.name))
        for word in settings:
            after = change.merged(after, edit.assignment(word))
        for word in parameters:
            after = change.merged(after, edit.assignment(word, ("postgresql", "parameters")))
        if not (settings or parameters or file):
            after = change.document(
                click.edit(edit.text(before), extension=".yaml") or edit.text(before), "what you wrote"
            )
        change.checked(before, after)
    except InvalidSetting as error:
        raise click.ClickException(str(error)) from None
    if before == after:
        click.echo("Nothing to change")
        return
    click.echo(edit.difference(before, after))
    for name in change.unknown(before, after):
        click.echo(f"Note: pgherd does not know {name}; it is kept, and does nothing", err=True)
    if not force and not click.confirm("Apply these changes?"):
        raise click.ClickException("nothing was written")
    _store(seen, before, after)
    click.echo("Configuration changed")


WAIT = (
    click.option("--wait", is_flag=True, help="Until the leader has recorded it in the lease."),
    click.option("--timeout", type=click.FloatRange(min=1), default=60, show_default=True, metavar="SECONDS"),
)


@pgherd.command()
@of_cluster
@WAIT[0]
@WAIT[1]
def pause(wait: bool, timeout: float, **asked: str | None) -> None:
    """Begin maintenance: nobody is promoted, and PostgreSQL is neither started nor stopped.

    It holds from when the leader has recorded it in the lease: `pgherd list` then says so.
    """
    _wish(True, asked)
    click.echo("Maintenance is wanted; it holds when the leader has recorded it")
    if wait:
        _until(True, timeout, asked)


@pgherd.command()
@of_cluster
@WAIT[0]
@WAIT[1]
@click.option("--leader-is-dead", is_flag=True, help="Your word that the leader's PostgreSQL does not run any more.")
@click.option("--force", is_flag=True, help="Do not ask.")
def resume(wait: bool, timeout: float, leader_is_dead: bool, force: bool, **asked: str | None) -> None:
    """End maintenance.

    The leader records it. Where it is gone and the kubelet cannot say that its container has ended, only you can say so
    (--leader-is-dead): another member takes over then. If you are wrong, two members accept writes.
    """
    _wish(False, asked)
    click.echo("The end of maintenance is wanted")
    if leader_is_dead:
        _declare_dead(force, asked)
    if wait:
        _until(False, timeout, asked)


def _wish(wanted: bool, asked: dict[str, str | None]) -> None:
    seen = read(asked)
    before = _configuration(seen)
    after = {**before, "pause": True} if wanted else {name: before[name] for name in before if name != "pause"}
    _store(seen, before, after)


def _until(recorded: bool, timeout: float, asked: dict[str, str | None]) -> None:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        lease = read(asked).lock.record
        if lease is not None and lease.pause is recorded:
            click.echo(f"Maintenance mode: {'on' if recorded else 'off'}")
            return
        time.sleep(POLL)
    raise click.ClickException(
        f"not recorded within {timeout:g} s: `pgherd list` says what the leader does"
        + ("" if recorded else "; if it is gone for good: pgherd resume --leader-is-dead")
    )


def _look(where: Target) -> Observation:
    from pgherd.cli import observe

    return perform(observe.look(where))


def _declare_dead(force: bool, asked: dict[str, str | None]) -> None:
    from pgherd.cli import table

    seen = _look(find_target(**asked))
    lease = seen.lock.record
    if lease is None:
        raise click.ClickException(seen.lock.trouble)
    if not lease.pause or lease.free:
        click.echo("The lease is not paused: nothing to say")
        return
    name = table.leader(lease)
    said = seen.answers.get(name or "")
    if said is not None and (said.holds_until > 0 or said.role == "primary"):
        raise click.ClickException(f"{name} answers and says that it is {said.role}: it is not dead")
    question = f"Nothing of PostgreSQL runs on {name} any more, and you know it?"
    if not force and not click.confirm(question):
        raise click.ClickException("nothing was written to the lease")
    perform(_free(seen.target, seen.lock.version, lease))
    click.echo(f"The lease of {name} is free")


async def _free(target: Target, version: str, lease: Lease) -> None:
    from pgherd.cli import observe
    from pgherd.decide.maintenance import declared_dead
    from pgherd.kubernetes.store import Conflict

    async with observe.opened(target) as api:
        try:
            await api.write_lock(declared_dead(lease, str(uuid.uuid4())), version)
        except Conflict:
            raise click.ClickException(
                "the lease has changed meanwhile, so somebody holds it: nothing was written, look at it again"
            ) from None
