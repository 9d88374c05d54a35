"""How long a run takes: this collection's play beside kubernetes.core.k8s with the same objects on one API server.

Real etcd and kube-apiserver, no nodes: what is measured is Ansible and the API. Each figure is the wall clock of
`ansible-playbook` from its start to its end; the raw runs and the load of the machine are kept beside the table.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.playbook import objects

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".build" / "bench-playbook"
BUDGETS = {("site.yml", "again", 1): 4.0, ("site.yml", "first", 20): 30.0}
"""Seconds, by program, run and number of clusters."""


@dataclass(frozen=True)
class Run:
    program: str
    run: str
    clusters: int
    seconds: float
    changed: int
    load: float


def lab(*arguments: str) -> str:
    command = [sys.executable, "-m", "pgherd_lab", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def play(environment: Mapping[str, str], *arguments: str) -> tuple[float, int]:
    """Seconds and changes. Raises RuntimeError with what the play printed when it failed."""
    began = time.monotonic()
    command = [shutil.which("ansible-playbook") or "ansible-playbook", *arguments]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    seconds = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stdout[-3000:]}{done.stderr[-1000:]}")
    return seconds, sum(int(number) for number in re.findall(r"changed=(\d+)", done.stdout))


def kubectl() -> list[str]:
    return [sys.executable, "-m", "pgherd_lab", "kubectl"]


def namespace(name: str) -> str:
    """A new one: without controllers, nobody would empty it."""
    document = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    subprocess.run([*kubectl(), "create", "-f", "-"], input=document, text=True, check=True, capture_output=True)
    return name


def measured(environment: Mapping[str, str], clusters: int, repeats: int) -> Iterator[Run]:
    """A first run and repetitions of each program, in namespaces that begin empty."""
    ours, hosts = namespace(f"bench-{clusters}"), WORK / f"hosts-{clusters}.yml"
    objects.inventory(hosts, ours, clusters)
    site = ("-i", str(hosts), "playbooks/site.yml", "--forks", "20")
    yield from _runs("site.yml", clusters, environment, repeats, *site)
    programs = [("k8s, all objects in one task", "false")]
    if clusters == 1:  # Half an hour for twenty clusters, and nothing new to learn from it.
        programs.append(("k8s, a loop over the objects", "true"))
    for program, each in programs:
        theirs = namespace(f"bench-{clusters}-{each}")
        for name, definitions in objects.made(kubectl(), ours, theirs).items():
            (WORK / f"{name}.json").write_text(json.dumps(definitions))
        k8s = ("-i", str(hosts), "benchmarks/playbook/k8s.yml", "--forks", "20", "-e", f"folder={WORK}")
        yield from _runs(program, clusters, environment, repeats, *k8s, "-e", f"each_object={each}")


def _runs(program: str, clusters: int, environment: Mapping[str, str], repeats: int, *arguments: str) -> Iterator[Run]:
    for index in range(1 + repeats):
        load = os.getloadavg()[0]
        seconds, changed = play(environment, *arguments)
        run = Run(program, "again" if index else "first", clusters, round(seconds, 2), changed, round(load, 1))
        print(f"{run.program}, {clusters} clusters, {run.run}: {seconds:.1f} s, changed={changed}", flush=True)
        yield run


def table(runs: list[Run]) -> str:
    """The best of each: what other work on the machine adds says nothing about the program."""
    lines = ["| Program | Clusters | Run | Seconds, best of | changed | Budget |", "|---|---|---|---|---|---|"]
    for key in dict.fromkeys((run.program, run.run, run.clusters) for run in runs):
        mine = [run for run in runs if (run.program, run.run, run.clusters) == key]
        best, budget = min(run.seconds for run in mine), BUDGETS.get(key)
        said = "" if budget is None else f"{budget:g}" + (" **missed**" if best > budget else "")
        changed = max(run.changed for run in mine)
        lines.append(f"| {key[0]} | {key[2]} | {key[1]} | {best:.1f} of {len(mine)} | {changed} | {said} |")
    loads = [run.load for run in runs]
    return "\n".join([*lines, "", f"Load of the machine before each run: {min(loads):g} to {max(loads):g}.", ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clusters", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--repeats", type=int, default=3, help="runs that should change nothing")
    given = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    os.environ["PGHERD_LAB"] = str(WORK / "lab")
    lab("build")
    lab("up", "--api-only")
    try:
        environment = {"K8S_AUTH_KUBECONFIG": lab("kubeconfig"), "ANSIBLE_NOCOLOR": "1"}
        runs = [run for number in given.clusters for run in measured(environment, number, given.repeats)]
    finally:
        lab("down", "--purge")
    folder = ROOT / "benchmarks" / "results" / f"playbook-{datetime.now(UTC):%Y-%m-%d}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "runs.jsonl").write_text("".join(json.dumps(asdict(run)) + "\n" for run in runs))
    (folder / "table.md").write_text(table(runs))
    print(f"\n{table(runs)}\n{folder.relative_to(ROOT)}")
    broken = [run for run in runs if run.program == "site.yml" and run.run == "again" and run.changed]
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
