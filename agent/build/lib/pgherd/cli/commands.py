"""The group, and the commands that look. Each prints and ends (cli.change and cli.asking change a cluster)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pgherd import __version__

if TYPE_CHECKING:
    from pgherd.cli.observe import Observation
    from pgherd.cli.target import Target

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

FORMATS = click.Choice(["table", "json", "yaml", "tsv"])
DOCUMENTS = click.Choice(["yaml", "json"])


def of_cluster(command: F) -> F:
    """Options that say which cluster; none are needed in one of its pods."""
    for option in (
        click.option("--certificates", metavar="DIR", help="Folder with ca.crt (tls.crt, tls.key) to ask agents with."),
        click.option("--label-prefix", metavar="PREFIX", help="Prefix of the pods' labels.  [default: pgherd.dev/]"),
        click.option("--kubeconfig", metavar="FILE", help="Outside a pod: how to reach the Kubernetes API."),
        click.option("-n", "--namespace", metavar="NAME", help="Its namespace."),
        click.option("-c", "--cluster", metavar="NAME", help="The cluster's name; not needed in one of its pods."),
    ):
        command = option(command)
    return command


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done, 1 it could not be done (standard error says why), 2 wrong usage.",
)
def pgherd() -> None:
    """Look at a PostgreSQL cluster that pgherd runs, and change it.

    Every command asks the Kubernetes API itself, and `list` then each member's agent, one second each: it works in
    any pod of the cluster, also beside an agent that is frozen.
    """


def find_target(**asked: str | None) -> Target:
    from pgherd.cli import target
    from pgherd.model.settings import InvalidSetting

    try:
        return target.find(target.Asked(**asked))
    except InvalidSetting as error:
        raise click.ClickException(str(error)) from None


def perform(work: Coroutine[Any, Any, T]) -> T:
    from pgherd.cli.observe import NoCluster, explain
    from pgherd.kubernetes.store import StoreError
    from pgherd.model.settings import InvalidSetting

    try:
        return asyncio.run(work)
    except (InvalidSetting, StoreError, NoCluster) as error:
        raise click.ClickException(explain(error)) from None


def read(asked: dict[str, str | None]) -> Observation:
    from pgherd.cli import observe

    return perform(observe.read(find_target(**asked)))


@pgherd.command("list")
@of_cluster
@click.option("-f", "--format", "form", type=FORMATS, default="table", show_default=True)
@click.option("-w", "--watch", type=click.FloatRange(min=0.1), metavar="SECONDS", help="Again and again, until Ctrl-C.")
def list_(form: str, watch: float | None, **asked: str | None) -> None:
    """Show the members: who leads, who streams, on which timeline, how far behind.

    A replica is `streaming` only while it streams from the present leader on its timeline. `no answer` is a
    member whose agent did not answer within a second; its role is then what the lock says. Lag is WAL that a
    member has not received, in MB; JSON has bytes, and `replay_lag` too.
    """
    where = find_target(**asked)
    if watch is None:
        show_members(where, form)
        return
    try:
        while True:
            click.clear()
            try:
                show_members(where, form)
            except click.ClickException as error:
                click.echo(f"Error: {error.message}", err=True)
            time.sleep(watch)
    except KeyboardInterrupt:
        return


def show_members(where: Target, form: str) -> None:
    from pgherd.cli import observe, show, table

    seen = perform(observe.look(where))
    shown = table.table(seen)
    if form == "table":
        show.members(shown, seen.lock.record, show.console())
    elif form == "tsv":
        names = show.columns(shown)
        rows = [(shown.cluster, *show.line(row, names)) for row in shown.members]
        click.echo(show.tsv(("Cluster", *names), rows))
    else:
        click.echo(show.document(shown, form))


@pgherd.command()
@of_cluster
@click.option("-f", "--format", "form", type=FORMATS, default="table", show_default=True)
def history(form: str, **asked: str | None) -> None:
    """Show the receipt of every change of the leader, newest last.

    From whom to whom, at which position the new timeline left the old one, why, how long from detection to the
    first write, and bytes of WAL that may be lost. JSON and YAML have the whole receipts, with every instant and
    why each other candidate lost.
    """
    from pgherd.cli import receipts, show
    from pgherd.model.settings import InvalidSetting

    seen = read(asked)
    try:
        found = receipts.receipts(seen.config.history)
    except InvalidSetting as error:
        raise click.ClickException(str(error)) from None
    rows = [receipts.row(receipt) for receipt in found]
    if form == "table":
        show.grid(f"Cluster: {seen.target.cluster}", receipts.HEADER, rows, show.console())
    elif form == "tsv":
        click.echo(show.tsv(receipts.HEADER, rows))
    else:
        click.echo(show.document(found, form))


@pgherd.command("show-config")
@of_cluster
@click.option("-f", "--format", "form", type=DOCUMENTS, default="yaml", show_default=True)
def show_config(form: str, **asked: str | None) -> None:
    """Show the dynamic configuration, as the play wrote it."""
    import msgspec

    from pgherd.cli import show

    seen = read(asked)
    name = f"{seen.target.cluster}-ha-config"
    if not seen.config.config:
        raise click.ClickException(f"{name} has no annotation config: the members run with the defaults")
    try:
        click.echo(show.document(msgspec.json.decode(seen.config.config), form))
    except msgspec.MsgspecError as error:
        raise click.ClickException(f"annotation config of {name} cannot be read: {error}") from None


@pgherd.command()
@of_cluster
@click.option("-f", "--format", "form", type=DOCUMENTS, default="yaml", show_default=True)
def status(form: str, **asked: str | None) -> None:
    """Show the lease: holder, epoch, ttl, who may take it, where clients are routed."""
    from pgherd.cli import show, table

    seen = read(asked)
    lease = seen.lock.record
    if lease is None:
        raise click.ClickException(seen.lock.trouble)
    shown = {
        "cluster": seen.target.cluster,
        "namespace": seen.namespace,
        "initialize": seen.config.initialize,
        "leader": table.leader(lease),
        "epoch": lease.epoch,
        "free": lease.free,
        "ttl": lease.ttl,
        "acquired": lease.acquire_time,
        "renewed": lease.renew_time,
        "timeline": lease.holder.timeline if lease.holder else None,
        "writable_timeline": lease.holder.writable if lease.holder else None,
        "address": lease.address,
        "optime": lease.optime,
        "candidates": lease.candidates,
        "handover": lease.handover,
        "slots": lease.slots,
        "pause": lease.pause,
        "pause_wanted": table.pause_wanted(seen),
    }
    click.echo(show.document(shown, form))


@pgherd.command("what-if")
@of_cluster
@click.argument("member")
@click.option("-f", "--format", "form", type=click.Choice(["text", "json", "yaml"]), default="text", show_default=True)
def what_if(member: str, form: str, **asked: str | None) -> None:
    """Say what would happen if MEMBER disappeared now: who leads, from when, what is at risk, why not the others.

    By the same decisions that the agents make, on what each of them says of itself at this moment. Nothing happens.
    """
    from pgherd.cli import observe, show, supposed

    found = supposed.consequence(perform(observe.look(find_target(**asked))), member)
    if isinstance(found, str):
        raise click.ClickException(found)
    click.echo(supposed.text(found) if form == "text" else show.document(found, form))


@pgherd.command()
@click.option("-f", "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def version(form: str) -> None:
    """Show the version of this program."""
    click.echo(f'{{"version": "{__version__}"}}' if form == "json" else f"pgherd {__version__}")
