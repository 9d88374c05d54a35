"""What cluster tests act on: the namespace, the playbooks, and client pods."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pgherd_lab.demo import objects
from pgherd_lab.demo.cluster import Cluster
from pgherd_lab.demo.console import Failed
from tests.cluster import account

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


@dataclass(frozen=True)
class Play:
    """What a playbook run printed, and its recap."""

    code: int
    text: str

    @property
    def changed(self) -> int:
        return sum(int(number) for number in re.findall(r"changed=(\d+)", self.text))


@dataclass(frozen=True)
class Stage:
    kubeconfig: str
    image: str
    access: Mapping[str, str] = field(default_factory=dict)
    """Environment variables by which plays reach the API: those of an account with the rights in docs/role.yaml."""
    namespace: str = objects.NAMESPACE

    @property
    def kubectl(self) -> tuple[str, ...]:
        return (sys.executable, "-m", "pgherd_lab", "kubectl")

    @property
    def cluster(self) -> Cluster:
        return Cluster("demo", self.kubectl, self.namespace)

    def play(self, name: str, *arguments: str, limit: float = 600, kubeconfig: str | None = None) -> Play:
        """Run a playbook of the checkout against the demo's inventory, or as the user of a kubeconfig."""
        command = [
            shutil.which("ansible-playbook") or "ansible-playbook",
            "-i",
            "inventory/demo",
            f"playbooks/{name}.yml",
            "-e",
            f"postgres_namespace={self.namespace}",
        ]
        done = subprocess.run(
            [*command, *arguments],
            cwd=ROOT, env=self._environment(kubeconfig), text=True, timeout=limit,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return Play(done.returncode, done.stdout)

    def inventory(self) -> Any:
        """What the project's inventory source of AWX discovers, as `ansible-inventory --list` prints it."""
        program = shutil.which("ansible-inventory") or "ansible-inventory"
        done = subprocess.run(
            [program, "-i", "awx/project/clusters.pgherd.yml", "--list"],
            cwd=ROOT, env=self._environment(), text=True, timeout=120, capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        # Text that is no template is marked so.
        return json.loads(done.stdout, object_hook=lambda found: found.get("__ansible_unsafe", found))

    def _environment(self, kubeconfig: str | None = None) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if name not in account.VARIABLES},
            **({"K8S_AUTH_KUBECONFIG": kubeconfig} if kubeconfig else self.access),
            "PGHERD_IMAGE": self.image,
            "ANSIBLE_NOCOLOR": "1",
        }

    def names_of_members(self) -> set[str]:
        return set(self.restarts())

    def fault(self, *arguments: str) -> Any:
        """One of the lab's faults; its own account of the effect."""
        done = subprocess.run(
            [sys.executable, "-m", "pgherd_lab", "fault", *arguments, *self._place(arguments[0]), "--json"],
            text=True, timeout=120, capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def _place(self, fault: str) -> tuple[str, ...]:
        """Faults of pods happen in a namespace; those of nodes and of the API do not."""
        return () if fault.endswith(("-node", "-api", "cut", "heal")) else ("-n", self.namespace)

    def client(self, name: str, command: list[str] | None = None, **spec: Any) -> None:
        """A client pod, running."""
        sleep = ["python3", "-c", "import time; time.sleep(86400)"]
        pod = objects.client(name, self.image, "demo", "demo", command or sleep, **spec)
        self.cluster.delete("pod", name)
        self.cluster.apply(objects.script(), pod)
        eventually(
            f"pod {name} runs",
            lambda: self.cluster.get("pod", name)["status"].get("phase") == "Running" or None,
        )

    def psql(self, pod: str, uri: str, statement: str, **options: str) -> str:
        """psql in a client pod; `uri` is shell text in which $URI is the user's. Raises Failed with its words."""
        settings = " ".join(f"{key.upper()}={value}" for key, value in options.items())
        script = f'{settings} exec psql -XAtq "{uri}" -c "{statement}"'
        return self.cluster.execute(pod, "sh", "-c", script).strip()

    def names(self) -> set[tuple[str, str]]:
        """Kind and name of every object that bears the cluster's label, whoever made it."""
        kinds = "endpoints,sa,roles,rolebindings,secrets,configmaps,services,pvc,statefulsets,pdb,netpol,pods"
        items = self.cluster.get(f"{kinds},endpointslices", "-l", "pgherd.dev/cluster=demo")["items"]
        return {(item["kind"], item["metadata"]["name"]) for item in items}

    def node(self, pod: str) -> str:
        return str(self.cluster.get("pod", pod)["spec"]["nodeName"])

    def restarts(self) -> dict[str, int]:
        """Container restarts by member."""
        items = self.cluster.get("pods", "-l", "pgherd.dev/cluster=demo,pgherd.dev/data=postgres")["items"]
        return {
            item["metadata"]["name"]: sum(status["restartCount"] for status in item["status"]["containerStatuses"])
            for item in items
        }

    def versions(self) -> dict[str, str]:
        """resourceVersion of everything that the play owns."""
        kinds = "serviceaccounts,roles,rolebindings,secrets,configmaps,services,pvc,statefulsets,pdb,networkpolicies"
        items = self.cluster.get(kinds, "-l", "pgherd.dev/cluster=demo,pgherd.dev/applied-by=play")["items"]
        return {
            f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
            for item in items
            if item["kind"] not in ("StatefulSet", "PersistentVolumeClaim")
        } | {
            f"{item['kind']}/{item['metadata']['name']}": str(item["metadata"].get("generation", "0"))
            for item in items
            if item["kind"] == "StatefulSet"
        }


def eventually(what: str, check: Callable[[], T | None], limit: float = 90) -> T:
    """Ask until `check` gives something; fails with what was waited for."""
    end, problem = time.monotonic() + limit, ""
    while time.monotonic() < end:
        try:
            found = check()
        except (Failed, KeyError, IndexError) as error:
            found, problem = None, str(error)
        if found is not None and found is not False:
            return found
        time.sleep(0.3)
    raise AssertionError(f"{what}: not within {limit:g} s {problem}")
