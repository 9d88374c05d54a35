"""The command line: what a person types. Progress goes to standard error, results to standard output."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from pgherd_lab import __version__, containers, doctor, process
from pgherd_lab import image as images
from pgherd_lab.build import build as build_programs
from pgherd_lab.build import built, programs
from pgherd_lab.cluster import Lab
from pgherd_lab.errors import LabError
from pgherd_lab.fault_cli import fault
from pgherd_lab.paths import agent_folder


def say(text: str) -> None:
    click.echo(text, err=True)


class Commands(click.Group):
    """Turns the lab's own errors into one message and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LabError as error:
            raise click.ClickException(str(error)) from None


def need_root() -> None:
    """Continue as root through `sudo -n` where that works, else stop with one sentence."""
    if os.geteuid() == 0:
        return
    kept = "PATH,PGHERD_LAB,XDG_CACHE_HOME,XDG_STATE_HOME,HOME,PGHERD_KUBECONFIG"
    if doctor.which("sudo"):
        tried = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False, timeout=20)
        if tried.returncode == 0:
            command = ["sudo", "-n", f"--preserve-env={kept}", sys.executable, "-m", "pgherd_lab", *sys.argv[1:]]
            os.execvp("sudo", command)
    raise LabError(doctor.ROOT)


@click.group(cls=Commands)
@click.version_option(__version__)
def main() -> None:
    """Upstream Kubernetes on this machine, and ways to break it."""


@main.command("doctor")
@click.option("--install", is_flag=True, help="Install missing Debian packages through apt.")
def check(install: bool) -> None:
    """What this machine has and what it lacks."""
    if install:
        need_root()
        doctor.ensure(tuple(doctor.PACKAGES), say)
    findings = doctor.examine()
    for finding in findings:
        click.echo(f"{'no  ' if finding.problem else 'ok  '}{finding.subject:<12}{finding.problem or finding.shown}")
    if any(finding.problem for finding in findings):
        sys.exit(1)


@main.command()
def build() -> None:
    """Compile the upstream programs, once."""
    known = built()
    click.echo(f"{build_programs(say)}{' (built before)' if known else ''}")


@main.command()
@click.option("--nodes", default=3, show_default=True, help="1 to 9.")
@click.option("--api-only", is_flag=True, help="etcd and API server, no nodes.")
def up(nodes: int, api_only: bool) -> None:
    """Start the lab; does nothing if it is up."""
    need_root()
    lab, began = Lab(say=say), time.monotonic()
    if lab.up(nodes, api_only):
        what = "API" if api_only else f"{nodes} nodes Ready"
        click.echo(f"up: {what} in {time.monotonic() - began:.1f} s; export KUBECONFIG={lab.kubeconfig}")
    else:
        click.echo(f"already up; export KUBECONFIG={lab.kubeconfig}")


@main.command()
@click.option("--purge", is_flag=True, help="Delete the state too: objects, volumes, images on the nodes, logs.")
def down(purge: bool) -> None:
    """End the lab."""
    need_root()
    began = time.monotonic()
    ran = Lab(say=say).down(purge)
    click.echo(f"down in {time.monotonic() - began:.1f} s" if ran else "nothing was running")


@main.command()
def kubeconfig() -> None:
    """The path of the administrator's kubeconfig."""
    lab = Lab()
    lab.known  # noqa: B018 (says so if the lab is not up)
    click.echo(lab.kubeconfig)


@main.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def kubectl(arguments: tuple[str, ...]) -> None:
    """The kubectl that was built, on this lab (or on PGHERD_KUBECONFIG)."""
    given = os.environ.get("PGHERD_KUBECONFIG")
    if given is None:
        Lab().known  # noqa: B018
    program = str(programs() / "kubectl")
    os.execve(program, ["kubectl", *arguments], {**os.environ, "KUBECONFIG": given or str(Lab().kubeconfig)})


@main.command()
def status() -> None:
    """Processes and nodes of the lab."""
    lab = Lab()
    facts = lab.facts
    state = "up" if lab.is_up() else "down" if facts is None or not process.load(lab.layout.processes) else "broken off"
    click.echo(f"{lab.name} {state}, state in {lab.layout.state}")
    for record in process.load(lab.layout.processes):
        click.echo(f"  {record.name:<12}{'runs' if process.alive(record) else 'dead':<6}{record.pid:>8}  {record.log}")
    if state != "up":
        sys.exit(1)


@main.command()
@click.argument("who", required=False)
@click.option("-n", "--lines", default=50, show_default=True, type=click.IntRange(min=1))
def logs(who: str | None, lines: int) -> None:
    """The last lines of a component's log; without WHO the names that there are.

    WHO is a process of the control plane (api, etcd, controllers, ...), or a node's program as NODE/PROGRAM.
    """
    layout = Lab().layout
    found = {path.stem: path for path in sorted(layout.logs.glob("*.log"))}
    for node in sorted((layout.state / "nodes").glob("*")):
        found |= {f"{node.name}/{path.stem}": path for path in sorted((node / "log").glob("*.log"))}
    if who is None:
        click.echo("\n".join(found) or f"no logs in {layout.state}")
        return
    if who not in found:
        raise LabError(f"there is no log of {who}; there are {', '.join(found) or 'none'}")
    click.echo(process.tail(found[who], lines))


@main.command("shell-node", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("node")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def shell_node(node: str, command: tuple[str, ...]) -> None:
    """Run a command (default: a shell) inside a node's namespaces."""
    need_root()
    words = command[1:] if command[:1] == ("--",) else command
    inside = Lab().node(node).inside(*(words or ("/bin/sh",)))
    os.execvp(inside[0], list(inside))


CONTEXT = click.option(
    "--context", type=click.Path(path_type=Path, file_okay=False), default=agent_folder,
    help="The folder with Containerfile, requirements.lock, pyproject.toml and src (default: agent/).",
)  # fmt: skip


@main.command()
@CONTEXT
def image(context: Path) -> None:
    """Build the agent's image, put it on every running node, and print its reference."""
    need_root()
    reference = images.image(context, say)
    lab = Lab(say=say)
    if lab.is_up():
        running = [node for node in lab.nodes if node.running]
        containers.import_everywhere(running, reference, images.archive_of(reference), say)
    click.echo(reference)


@main.command("image-context")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@CONTEXT
def image_context(folder: Path, context: Path) -> None:
    """Fill FOLDER with what the image is built from: Containerfile and wheels/."""
    images.fill_context(context, folder, say)
    click.echo(folder)


main.add_command(fault)
