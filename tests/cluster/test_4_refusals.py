"""What cannot work is refused with its name, before anything changes: the part that needs a real API or a real pod."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pgherd_lab.demo import objects
from pgherd_lab.demo.console import Failed, output
from tests.cluster.stage import Play, Stage, eventually

POORER = "poorer"


def refused(play: Play) -> str:
    """The play's words; it must have failed and changed nothing."""
    assert play.code != 0, play.text
    assert play.changed == 0, play.text
    return play.text


def test_a_missing_namespace_is_named_and_not_made(cluster: Stage) -> None:
    said = refused(cluster.play("site", "-e", "postgres_namespace=nowhere", kubeconfig=cluster.kubeconfig))
    assert "namespace nowhere does not exist" in said
    with pytest.raises(Failed, match="not found"):
        cluster.cluster.get("namespace", "nowhere")


def test_a_node_port_in_use_is_named_with_its_user(cluster: Stage) -> None:
    taken = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "other"},
        "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 31999}], "selector": {"app": "none"}},
    }  # fmt: skip
    cluster.cluster.apply(taken)
    wanted = ("-e", "postgres_service_type=NodePort", "-e", "postgres_service_node_port=31999")
    said = refused(cluster.play("site", *wanted))
    assert "31999" in said and "other" in said, said
    cluster.cluster.delete("service", "other")


@pytest.fixture
def without_rights(cluster: Stage, tmp_path: Path) -> Path:
    """The kubeconfig of a service account that may do all but make StatefulSets and read Secrets."""
    cluster.cluster.apply(objects.namespace(POORER))
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": POORER}}
    rule = {"apiGroups": [""], "resources": ["configmaps", "services", "endpoints", "pods"], "verbs": ["*"]}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": POORER}, "rules": [rule],
    }  # fmt: skip
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": POORER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": POORER},
        "subjects": [{"kind": "ServiceAccount", "name": POORER, "namespace": POORER}],
    }  # fmt: skip
    kubectl = (*cluster.kubectl, "--namespace", POORER)
    for item in (account, role, binding):
        output((*kubectl, "apply", "-f", "-"), stdin=yaml.safe_dump(item))
    token = output((*kubectl, "create", "token", POORER)).strip()
    document = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    document["users"] = [{"name": document["users"][0]["name"], "user": {"token": token}}]
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_namespace_in_which_the_account_has_no_rights_is_named(cluster: Stage) -> None:
    """The account of the plays may do nothing outside its namespace, not even see what is there."""
    said = refused(cluster.play("site", "-e", "postgres_namespace=default"))
    assert "in namespace default this account lacks the right to" in said and "statefulsets" in said


def test_missing_rights_are_listed(cluster: Stage, without_rights: Path) -> None:
    play = cluster.play("site", "-e", f"postgres_namespace={POORER}", kubeconfig=str(without_rights))
    said = refused(play)
    assert "lacks the right to" in said
    assert "statefulsets" in said and "secrets" in said
    assert "configmaps" not in said.split("lacks the right to")[1].split("Nothing was changed")[0]
    cluster.cluster.delete("namespace", POORER)


def test_the_agent_refuses_a_major_that_its_image_lacks(cluster: Stage) -> None:
    """The play cannot look into an image; the agent can, and names both."""
    namespace = "elsewhere"
    cluster.cluster.apply(objects.namespace(namespace))
    wanted = ("-e", f"postgres_namespace={namespace}", "-e", "postgres_version=16", "-e", "postgres_wait=false")
    play = cluster.play("site", *wanted, kubeconfig=cluster.kubeconfig)
    assert play.code == 0, play.text
    kubectl = (*cluster.kubectl, "--namespace", namespace)

    def said() -> str | None:
        pod = output((*kubectl, "get", "pods", "-o", "name")).split()[0]
        log = output((*kubectl, "logs", pod, "-c", "database"))
        return next((line for line in log.splitlines() if "postgres.version=16" in line), None)

    line = eventually("the agent's word", said)
    assert "this image has 17" in line, line
    output((*kubectl, "delete", "pods", "--all", "--grace-period=0", "--force"), limit=120)
    output((*kubectl, "delete", "namespace", namespace, "--wait=false"))
