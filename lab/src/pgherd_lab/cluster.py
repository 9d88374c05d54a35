"""One lab as a whole: up, down, status. What tests and the demonstration use from Python.

A lab is in one of three conditions: down, up, or broken off (a start or an end that did not finish, or a machine
that restarted). `up` repairs the last one by ending what is left and starting again; data in the state survive.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from pgherd_lab import addons, cgroups, network, process
from pgherd_lab.api import Api
from pgherd_lab.archive import write_sandbox
from pgherd_lab.build import build
from pgherd_lab.controlplane import ControlPlane, listen, write_identities
from pgherd_lab.doctor import UP, ensure, which
from pgherd_lab.errors import LabError
from pgherd_lab.locks import locked
from pgherd_lab.node import Node
from pgherd_lab.paths import Layout, cache_folder, state_folder

Say = Callable[[str], None]


def quiet(_: str) -> None:
    """Says nothing."""


@dataclass(frozen=True)
class Facts:
    """What a lab remembers between commands; `complete` once `up` finished."""

    nodes: tuple[str, ...]
    port: int
    programs: str
    complete: bool

    @property
    def whole(self) -> bool:
        """False for an API without nodes."""
        return bool(self.nodes)


class Lab:
    """One lab, by its state folder. Making one starts nothing."""

    def __init__(self, state: Path | None = None, say: Say = quiet) -> None:
        self.layout = Layout(state or state_folder())
        self.say = say

    # What it is

    @property
    def name(self) -> str:
        return self.layout.name

    @property
    def facts(self) -> Facts | None:
        """None if the lab never was up, or was purged."""
        try:
            read = json.loads(self.layout.facts.read_text())
            return Facts(**{**read, "nodes": tuple(read["nodes"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    @property
    def known(self) -> Facts:
        """Facts of a lab that is up. Raises LabError if it is not."""
        facts = self.facts
        if facts is None or not facts.complete:
            raise LabError(f"the lab in {self.layout.state} is not up; 'pgherd-lab up' starts it")
        return facts

    @property
    def api(self) -> Api:
        return Api(self.known.port, self.layout.pki)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, for programs on this machine."""
        return self.layout.kubeconfig

    @property
    def nodes(self) -> list[Node]:
        """All nodes, also those that a fault has ended."""
        facts = self.known
        return [Node(self.layout, Path(facts.programs), name, facts.nodes) for name in facts.nodes]

    def node(self, name: str) -> Node:
        found = next((node for node in self.nodes if node.name == name), None)
        if found is None:
            raise LabError(f"there is no node {name}; this lab has {', '.join(self.known.nodes) or 'none'}")
        return found

    @property
    def control(self) -> ControlPlane:
        facts = self.known
        return ControlPlane(self.layout, Path(facts.programs), facts.whole)

    def dead(self) -> list[str]:
        """Daemons of the lab that do not run (a fault may have ended them)."""
        return [record.name for record in process.load(self.layout.processes) if not process.alive(record)]

    def is_up(self) -> bool:
        """Complete, and the control plane's processes run. A killed node does not make a lab down."""
        facts = self.facts
        if facts is None or not facts.complete:
            return False
        records = {record.name: record for record in process.load(self.layout.processes)}
        needed = ["etcd", "forwarder"] + (["controllers", "scheduler"] if facts.whole else [])
        return all(name in records and process.alive(records[name]) for name in needed)

    # Up

    def up(self, nodes: int = 3, api_only: bool = False) -> bool:
        """Start the lab, or what faults ended of it; False if all was up. A start that fails ends what it began."""
        if not 1 <= nodes <= 9:
            raise LabError(f"a lab has 1 to 9 nodes, not {nodes}")
        names = () if api_only else tuple(f"node{number}" for number in range(1, nodes + 1))
        ensure(UP, self.say)
        programs = build(self.say)
        with locked(self.layout.lock, "another command on this lab", self.say, 120):
            if self.is_up():
                self._compare(names)
                return self._repair()
            self._clean()
            try:
                self._start(names, programs)
            except BaseException:
                self._clean()
                raise
        return True

    def _repair(self) -> bool:
        """Start what faults have ended in a lab that is up."""
        repaired = self.start_api()
        for node in self.nodes:
            if not node.running:
                self.say(f"{node.name} is off, starting it")
                self.start_node(node)
                repaired = True
        return repaired

    def start_api(self) -> bool:
        """Start the API server if it does not run, and wait until it is ready; False if it ran."""
        record = process.find(self.layout.processes, "api")
        if record is not None and process.alive(record):
            return False
        record = self.control.api()
        process.wait(self.api.ready, 60, "the API answers", [record])
        return True

    def start_node(self, node: Node) -> None:
        """Start a node that is off, and wait until the API says that it is Ready."""
        # The API tells heartbeats in whole seconds: from the next one on, an old one cannot pass for a new one.
        time.sleep(1 - time.time() % 1)
        since = datetime.datetime.now(datetime.UTC)
        node.kill()
        record = node.start([write_sandbox(which("busybox"), cache_folder() / "images")])
        api = self.api
        process.wait(lambda: node.ready(api, since), 90, f"{node.name} is Ready", [record], 0.1)

    def _compare(self, names: tuple[str, ...]) -> None:
        if self.known.nodes != names:
            raise LabError(
                f"the lab in {self.layout.state} is up with {len(self.known.nodes)} nodes, asked for {len(names)}; "
                "run 'pgherd-lab down' first"
            )

    def _start(self, names: tuple[str, ...], programs: Path) -> None:
        before = self.facts
        self.layout.state.mkdir(parents=True, exist_ok=True)
        listener = listen(before.port if before else None)
        facts = Facts(names, listener.getsockname()[1], str(programs), False)
        self._remember(facts)
        write_identities(self.layout, list(names), facts.port)
        network.create_control(self.layout.control_namespace)
        control = ControlPlane(self.layout, programs, facts.whole)
        with listener:
            records = [control.etcd(), control.api(), control.forwarder(listener)]
        api = Api(facts.port, self.layout.pki)
        self.say("waiting for the API")
        process.wait(api.ready, 60, "the API answers", records)
        if names:
            self._start_nodes(control, api, names)
        self._remember(Facts(**{**asdict(facts), "complete": True}))

    def _start_nodes(self, control: ControlPlane, api: Api, names: tuple[str, ...]) -> None:
        since = datetime.datetime.now(datetime.UTC)
        sandbox = write_sandbox(which("busybox"), cache_folder() / "images")
        nodes = [Node(self.layout, control.programs, name, names) for name in names]
        records = [control.controllers(), control.scheduler()]
        records += [node.start([sandbox]) for node in nodes]
        records += addons.start(control, api)
        self.say(f"waiting for {len(names)} nodes")
        try:
            process.wait(lambda: all(n.ready(api, since) for n in nodes), 90, "all nodes are Ready", records, 0.1)
        except LabError as error:
            late = [node for node in nodes if not node.ready(api, since)]
            logs = "".join("\n" + process.tail(node.folder / "log" / "kubelet.log", 5) for node in late[:1])
            raise LabError(f"{error}\nnot Ready: {', '.join(node.name for node in late)}{logs}") from None
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        process.wait(lambda: self._there(api, path), 30, "the default service account exists", records)

    @staticmethod
    def _there(api: Api, path: str) -> bool:
        try:
            api.get(path)
        except LabError:
            return False
        return True

    def _remember(self, facts: Facts) -> None:
        new = self.layout.facts.with_suffix(".new")
        new.write_text(json.dumps(asdict(facts)))
        new.rename(self.layout.facts)

    # Down

    def down(self, purge: bool = False) -> bool:
        """End everything that this lab started; with `purge` delete its state too. False if nothing ran."""
        if not self.layout.state.exists():
            return False
        with locked(self.layout.lock, "another command on this lab", self.say, 120):
            ran = self._clean()
            facts = self.facts
            if facts:
                self._remember(Facts(**{**asdict(facts), "complete": False}))
        if purge:
            self._purge()
        return ran

    def _clean(self) -> bool:
        """End processes by their records, then whatever is left in the lab's own cgroups and namespaces."""
        records = process.load(self.layout.processes)
        ran = any(process.alive(record) for record in records)
        nodes = [record for record in records if record.name.startswith("node")]
        process.stop(self.layout.processes, nodes, grace=0)
        process.stop(self.layout.processes, [record for record in records if record not in nodes], grace=0)
        self._end_strays()
        for namespace in network.names(self.name):
            network.delete(namespace)
        left = cgroups.remove(self.name)
        if left:
            self.say(f"the kernel still holds cgroup {left[0]}")
        return ran

    def _end_strays(self) -> None:
        """Processes without a record, after a crash: in the lab's own cgroup or network they are the lab's."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            strays = set(cgroups.members(self.name))
            for namespace in network.names(self.name):
                strays |= set(network.members(namespace))
            if not strays - {os.getpid()}:
                return
            for pid in strays - {os.getpid()}:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.05)

    def _purge(self) -> None:
        state = self.layout.state
        if not (self.layout.facts.exists() or self.layout.lock.exists()):
            raise LabError(f"{state} is not a lab's state folder, it is not deleted")
        shutil.rmtree(state)
