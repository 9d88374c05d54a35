"""`pgherd-lab fault ...`: the faults as commands, one line each when the effect is there, `--json` for programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from pgherd_lab import faults, links, pod_faults
from pgherd_lab.cluster import Lab
from pgherd_lab.faults import Effect

Command = Callable[..., None]

AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a line.")
SPACE = click.option("-n", "--namespace", default=pod_faults.NAMESPACE, show_default=True)
WHICH = click.option("--container", default=pod_faults.CONTAINER, show_default=True)


def show(effect: Effect, as_json: bool) -> None:
    click.echo(effect.json() if as_json else effect.text)


@click.group("fault")
@click.pass_context
def fault(context: click.Context) -> None:
    """Break something, and prove that it is broken."""
    from pgherd_lab.cli import need_root

    need_root()


def _node(name: str, act: Callable[[Lab, str], Effect], help_text: str) -> None:
    @fault.command(name, help=help_text)
    @click.argument("node")
    @AS_JSON
    def command(node: str, as_json: bool) -> None:
        show(act(Lab(), node), as_json)


def _container(name: str, act: Callable[..., Effect], help_text: str) -> None:
    @fault.command(name, help=help_text)
    @click.argument("pod")
    @SPACE
    @WHICH
    @AS_JSON
    def command(pod: str, namespace: str, container: str, as_json: bool) -> None:
        show(act(Lab(), pod, namespace, container), as_json)


def _pod(name: str, act: Callable[..., Effect], help_text: str) -> None:
    @fault.command(name, help=help_text)
    @click.argument("pod")
    @SPACE
    @AS_JSON
    def command(pod: str, namespace: str, as_json: bool) -> None:
        show(act(Lab(), pod, namespace), as_json)


def _api(name: str, act: Callable[[Lab], Effect], help_text: str) -> None:
    @fault.command(name, help=help_text)
    @AS_JSON
    def command(as_json: bool) -> None:
        show(act(Lab()), as_json)


@fault.command("cut", help="Cut a node's links: packets vanish, nothing is refused.")
@click.argument("node")
@click.option("--from", "what", type=click.Choice(links.WHAT), default="all", show_default=True)
@click.option("--loss", type=click.IntRange(1, 100), default=100, show_default=True, help="Per cent of the packets.")
@AS_JSON
def cut(node: str, what: str, loss: int, as_json: bool) -> None:
    show(faults.cut(Lab(), node, what, loss), as_json)


@fault.command("delete-pod", help="Delete a pod through the API and wait until it is gone.")
@click.argument("pod")
@SPACE
@click.option("--grace", type=int, default=None, help="Seconds; default: the pod's own.")
@AS_JSON
def delete_pod(pod: str, namespace: str, grace: int | None, as_json: bool) -> None:
    show(pod_faults.delete_pod(Lab(), pod, namespace, grace), as_json)


NODES: dict[str, tuple[Any, str]] = {
    "kill-node": (faults.kill_node, "Power off: processes and network gone at once."),
    "start-node": (faults.start_node, "Power on; returns when the node is Ready."),
    "freeze-node": (faults.freeze_node, "Stop every process of the node."),
    "thaw-node": (faults.thaw_node, "Let a frozen node go on."),
    "heal": (faults.heal, "Undo cut."),
}
CONTAINERS: dict[str, tuple[Any, str]] = {
    "kill-container": (pod_faults.kill_container, "SIGKILL to a container's PID 1."),
    "freeze-agent": (pod_faults.freeze_agent, "SIGSTOP to the agent alone."),
    "thaw-agent": (pod_faults.thaw_agent, "SIGCONT to the agent."),
    "freeze-postgres": (pod_faults.freeze_postgres, "SIGSTOP to every PostgreSQL process of the pod."),
    "thaw-postgres": (pod_faults.thaw_postgres, "SIGCONT to them."),
    "freeze-pod": (pod_faults.freeze_pod, "SIGSTOP to everything in the container."),
    "thaw-pod": (pod_faults.thaw_pod, "SIGCONT to it."),
    "kill-postmaster": (pod_faults.kill_postmaster, "SIGKILL to the postmaster alone."),
}
PODS: dict[str, tuple[Any, str]] = {
    "fill-volume": (pod_faults.fill_volume, "Fill the disk of the pod's node, which its volumes share."),
    "free-volume": (pod_faults.free_volume, "Undo fill-volume."),
}
APIS: dict[str, tuple[Any, str]] = {
    "stop-api": (faults.stop_api, "End the API server."),
    "start-api": (faults.start_api, "Start it again; returns when it is ready."),
}
for _name, (_act, _text) in NODES.items():
    _node(_name, _act, _text)
for _name, (_act, _text) in CONTAINERS.items():
    _container(_name, _act, _text)
for _name, (_act, _text) in PODS.items():
    _pod(_name, _act, _text)
for _name, (_act, _text) in APIS.items():
    _api(_name, _act, _text)
