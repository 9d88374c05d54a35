"""Clients of one fault in real pods, and the verdict: one through the Service for the gap, one per member by pod IP
with a session from before the fault, who notices a second primary.

All clients are processes of one pod on a node that is spared; the lab's nodes share one boot-time clock.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pgherd_lab.demo import objects
from pgherd_lab.demo.cluster import settled
from pgherd_lab.demo.verdict import Gap, Row, longest_gap, lost, rows, unadmitted
from tests.cluster.stage import Stage, eventually
from tests.ha.harness.clients import Ack
from tests.ha.harness.verdict import after_thaw, two_primaries

POD = "witness"
THROUGH, FRESH = "through", "fresh"


@dataclass
class Witness:
    stage: Stage
    runs: dict[str, str] = field(default_factory=dict)
    """By client: what its rows are filed under."""

    def start(self, spared_from: str) -> None:
        """Clients anywhere but on that node, all of which have written or been refused by now."""
        cluster = self.stage.cluster
        addresses = {name: cluster.get("pod", name)["status"]["podIP"] for name in cluster.pods()}
        self.runs = {name: uuid.uuid4().hex[:8] for name in (THROUGH, *addresses)}
        lines = [_writer(self.runs[THROUGH], THROUGH)]
        lines += [
            f"HOST={name}.demo-pods HOSTADDR={address} {_writer(self.runs[name], name)}"
            for name, address in addresses.items()
        ]
        script = "\n".join([*lines, "wait"])
        self.stage.client(POD, ["sh", "-c", script], affinity=objects.elsewhere(spared_from))
        self.wrote(THROUGH)

    def fresh(self) -> None:
        """One more client of the Service: where the old node's kernel lives on, an open connection waits for it."""
        self.runs[FRESH] = uuid.uuid4().hex[:8]
        command = f"{_writer(self.runs[FRESH], FRESH)} true"
        self.stage.cluster.execute(POD, "sh", "-c", f"exec >/dev/null 2>&1; {command}")

    def lines(self, client: str) -> list[dict[str, Any]]:
        """Its acknowledged rows as it kept them, the server's address among them; none before its first one."""
        path = f"/data/{client}.jsonl"
        text = self.stage.cluster.execute(POD, "sh", "-c", f"test ! -e {path} || cat {path}", limit=60)
        whole = [line for line in text.splitlines() if line.endswith("}")]
        return [entry for entry in map(json.loads, whole) if "acknowledged" in entry]

    def wrote(self, client: str, more: int = 20, limit: float = 90) -> None:
        """Wait for so many more rows of that client."""
        before = len(self.lines(client))
        eventually(f"{client} writes", lambda: len(self.lines(client)) >= before + more, limit)

    def writes_anew(self, timeline: int, client: str = THROUGH, limit: float = 90) -> None:
        """Wait until a client of the Service has written on a newer timeline."""
        eventually("writes on a new timeline", lambda: self.lines(client)[-1]["timeline"] > timeline, limit)

    @property
    def timeline(self) -> int:
        return int(self.lines(THROUGH)[-1]["timeline"])

    def verdict(self, limit: float = 240, thawed: float | None = None) -> Gap:
        """Settled again, nobody wrote beside another, no row is gone unadmitted; what the Service's client saw."""
        eventually("a settled cluster", lambda: settled(self.stage.cluster), limit)
        seen = {client: self.lines(client) for client in self.runs}
        receipts = self.stage.cluster.history()
        acks = _by_server(seen.values())
        if thawed is not None:
            newest = max(ack.timeline for kept in acks.values() for ack in kept)
            late = {server: after_thaw(kept, thawed, newest) for server, kept in acks.items()}
            acks = {server: [ack for ack in kept if ack not in late[server]] for server, kept in acks.items()}
            print(f"{sum(map(len, late.values()))} rows acknowledged between the thaw and the kill")
        doubled = two_primaries(acks)
        assert not doubled, doubled
        missing: list[Row] = []
        for client, run in self.runs.items():
            shown = self.stage.cluster.execute(POD, "python3", "/writer/writer.py", "ids", run, limit=60)
            kept = rows(json.dumps(line) for line in seen[client])
            missing += lost(kept, {int(number) for number in shown.split()})
        assert unadmitted(missing, receipts) == []
        served = [line for client in (THROUGH, FRESH) for line in seen.get(client, [])]
        served.sort(key=lambda line: line["acknowledged"])
        gap = longest_gap(rows(json.dumps(line) for line in served))
        print(f"gap {gap.seconds:.2f} s, {len(missing)} rows lost")
        self.stage.cluster.delete("pod", POD)
        return gap


def _writer(run: str, name: str) -> str:
    return f"python3 /writer/writer.py write {run} /data/{name}.jsonl &"


def _by_server(clients: Iterable[list[dict[str, Any]]]) -> dict[str, list[Ack]]:
    """Acknowledged rows by the server that acknowledged them, whoever its client was."""
    found: dict[str, list[Ack]] = {}
    for lines in clients:
        for line in lines:
            ack = Ack(line["sent"], line["acknowledged"], line["id"], line["timeline"])
            found.setdefault(line["address"], []).append(ack)
    return found
