"""`make bench-failover`: the comparison, from an empty machine to a table. May be stopped and continued at any time."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import yaml

from benchmarks.failover import contenders, cost, faults, image, neighbours, objects, runs, store, table
from benchmarks.failover.contenders import Contender, cluster
from benchmarks.failover.stage import Client, prepare
from pgherd_lab import __version__, containers
from pgherd_lab import image as images
from pgherd_lab.cluster import Lab
from pgherd_lab.demo.console import Failed, output, say, step, wait
from pgherd_lab.errors import LabError
from pgherd_lab.locks import locked
from pgherd_lab.paths import agent_folder, state_folder

NODES = 4
"""Three for databases, one for clients."""


class Comparison:
    """The lab, the contenders and their clients; lives as long as the command."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.lab = Lab(say=say)
        self.agent = images.image(agent_folder(), say)
        self.patroni, archive = image.image(self.agent, say)
        self._up()
        for reference, path in ((self.agent, images.archive_of(self.agent)), (self.patroni, archive)):
            containers.import_everywhere([node for node in self.lab.nodes if node.running], reference, path, say)
        found = contenders.contenders(self.agent, self.patroni, str(self.lab.kubeconfig))
        self.contenders: dict[str, Contender] = {name: found[name] for name in names}
        self.clients: dict[str, Client] = {}

    def _up(self) -> None:
        """The API server reads its audit policy when it starts."""
        text = yaml.safe_dump(cost.audit_policy(contenders.NAMES))
        policy = self.lab.layout.audit_policy
        if not policy.exists() or policy.read_text() != text:
            self.lab.down()
            policy.parent.mkdir(parents=True, exist_ok=True)
            policy.write_text(text)
        self.lab.up(NODES)
        runs.repair(self.lab)
        output((*contenders.kubectl(), "taint", "nodes", objects.CLIENT_NODE, "bench=client:NoSchedule", "--overwrite"))

    def versions(self) -> dict[str, str]:
        """What makes two runs comparable."""
        server = cluster(next(iter(self.contenders.values())))
        kubernetes = json.loads(output((*server.kubectl, "version", "-o", "json")))["serverVersion"]["gitVersion"]
        return {
            "pgherd": f"{__version__} ({self.agent.rpartition(':')[2]})", "Patroni": image.pins()["patroni"],
            "PostgreSQL": self._postgres(), "Kubernetes": kubernetes,
        }  # fmt: skip

    def _postgres(self) -> str:
        for contender in self.contenders.values():
            for pod in contenders.pods(contender):
                text = cluster(contender).execute(pod["metadata"]["name"], "postgres", "--version")
                return text.split("(PostgreSQL) ")[1].split()[0]
        raise Failed("no member runs: there is no PostgreSQL to ask for its version")

    def deploy(self) -> None:
        """What is not there yet, and a client for each."""
        for contender in self.contenders.values():
            step(f"{contender.name}: {contender.settings}")
            cluster(contender).apply(objects.namespace(contender.namespace))
            contender.deploy()
        for contender in self.contenders.values():
            self.clients[contender.name] = Client(self.lab, contender, self.agent)
            self.connect(contender)

    def connect(self, contender: Contender) -> None:
        members = wait("its pods", lambda: self._members(contender), 120)
        self.clients[contender.name].start(members)

    def _members(self, contender: Contender) -> list[str] | None:
        names = [
            pod["metadata"]["name"]
            for pod in contenders.pods(contender)
            if "running" in (pod["status"].get("containerStatuses") or [{"state": {}}])[0]["state"]
        ]
        return sorted(names) if len(names) == 3 else None

    def renew(self, name: str) -> None:
        """Make a contender anew that did not get whole again."""
        contender = self.contenders[name]
        step(f"{name} is made anew")
        contender.destroy()
        runs.gone(contender)
        contender.deploy()
        self.connect(contender)

    def calm(self, but: str) -> None:
        """The others whole as well, so that their recovery does not disturb; not waited for without end. Their renewals
        do not, either."""
        neighbours.show(self.contenders.values())
        for name, client in self.clients.items():
            if name != but:
                try:
                    prepare(client)
                except (Failed, LabError, OSError):
                    self.renew(name)
        neighbours.turn(self.contenders.values(), but)

    def run(self, fault: str, name: str) -> list[store.Run]:
        client = self.clients[name]
        if fault == faults.IDLE:
            neighbours.show(self.contenders.values())
            return cost.idle(self.lab, list(self.clients.values()))
        if fault == faults.COLD_START:
            return [runs.cold_start(client)]
        return [runs.perform(client, faults.ALL[fault])]


def shown(run: store.Run) -> str:
    gaps = " ".join(f"{name} {gap['seconds']:.2f} s".strip() for name, gap in run.get("gaps", {}).items())
    facts = f"lost {run['lost']}, two primaries {run['two_primaries']:.2f} s" if "lost" in run else ""
    return f"{run['outcome']}: {gaps} {facts} {run.get('error', '')[-300:]}".strip()


def write_report(folder: Path) -> None:
    kept = json.loads((folder / "versions.json").read_text())
    found = store.current(store.read(folder))
    (folder / "table.md").write_text(table.report(found, kept["versions"], kept["machine"]))
    print("\n" + table.text(table.HEADER, [table.cells(line) for line in table.lines(found)]))
    idle = table.idle_cells(found)
    if idle:
        print(table.text(table.IDLE_HEADER, idle) + "\n".join(table.idle_verdicts(found)))
    print(f"\nraw runs and table: {folder}")


def compare(names: Sequence[str], wanted: dict[str, int], results: Path) -> None:
    comparison = Comparison(names)
    comparison.deploy()
    folder = store.open_folder(results, comparison.versions())
    todo = [
        (fault, name)
        for fault, name in store.plan(store.read(folder), wanted, names)
        if fault != faults.IDLE or name == names[0]  # all of them in the same minutes
    ]
    try:
        carry_out(comparison, todo, folder)
    finally:
        write_report(folder)


def carry_out(comparison: Comparison, todo: Sequence[tuple[str, str]], folder: Path) -> None:
    """Every run is kept as soon as it is over; what a contender does not offer is asked for once."""
    missing: set[tuple[str, str]] = set()
    for number, (fault, name) in enumerate(todo, 1):
        if (fault, name) in missing:
            continue
        comparison.calm(name)
        step(f"{number} of {len(todo)}: {fault}, {name}")
        for run in comparison.run(fault, name):
            store.append(folder, run)
            say(shown(run))
            if run["outcome"] == "not run":
                missing.add((fault, name))
            if run["outcome"] == "failed" or run.get("whole_after", 0) is None:
                comparison.renew(run["contender"])


def split(text: str, known: Sequence[str], what: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()] or list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)}: no such {what}; there are {', '.join(known)}")
    return [name for name in known if name in names]


def stopped(text: str) -> int:
    print(f"\nbench-failover: {text}", file=sys.stderr, flush=True)
    return 1


@click.command()
@click.option("--faults", "fault_names", default="", help=f"Comma separated; default all: {', '.join(faults.NAMES)}.")
@click.option("--contenders", "names", default="", help=f"Comma separated; default all: {', '.join(contenders.NAMES)}.")
@click.option(
    "--runs",
    "number",
    type=click.IntRange(min=1),
    default=None,
    help=f"Of each fault; default {faults.CHEAP} of the cheap and {faults.COSTLY} of the costly ones.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=store.RESULTS,
    show_default=False,
    help="Where to keep runs; default benchmarks/results.",
)
@click.option(
    "--table",
    "only_table",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=None,
    help="Only write and print the table of this folder again.",
)
@click.option("--keep-up", is_flag=True, help="Leave the lab up afterwards.")
def main(fault_names: str, names: str, number: int | None, results: Path, only_table: Path | None,
         keep_up: bool) -> None:  # fmt: skip
    """Break pgherd and Patroni in the same ways on the lab, and print how long clients could not write.

    What was measured with the same versions is not repeated: run it again to continue a comparison that was stopped.
    """
    if only_table is not None:
        write_report(only_table)
        return
    chosen = split(fault_names, faults.NAMES, "fault")
    wanted = {name: number or faults.WANTED[name] for name in chosen}
    os.environ.setdefault("PGHERD_LAB", str(state_folder().parent / "bench-lab"))
    try:
        with locked(state_folder() / "bench.lock", "another comparison on this lab", say, 60):
            compare(split(names, contenders.NAMES, "contender"), wanted, results)
    except (Failed, LabError) as error:
        sys.exit(stopped(str(error)))
    except KeyboardInterrupt:
        sys.exit(stopped("stopped; the same command continues"))
    finally:
        if not keep_up:
            Lab(say=say).down()


if __name__ == "__main__":
    main()
