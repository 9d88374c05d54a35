"""The command line as a person meets it first: help, version, and what it says when it cannot work."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pgherd import __version__
from pgherd.cli import target
from pgherd.cli.change import pgherd
from pgherd.model.settings import InvalidSetting

SETTINGS = """
cluster: demo
members: [m0, m1]
postgres:
  version: 17
  bin_directory: /usr/lib/postgresql/17/bin
  data_directory: /pgdata/pg17
  state_directory: /pgdata/pgherd
  port: 5433
rest: {port: 8009}
"""
OF_A_CLUSTER = ("list", "history", "show-config", "status", "edit-config", "pause", "resume")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Neither a pod nor a machine with a kubeconfig."""
    for name in ("KUBERNETES_SERVICE_HOST", "KUBECONFIG", "PGHERD_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PGHERD_SETTINGS", str(tmp_path / "pgherd.yaml"))
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(pgherd, words)


def test_help_names_every_command_and_the_exit_status() -> None:
    said = run("--help")
    assert said.exit_code == 0 and "Exit status: 0 done" in said.output
    assert all(f"  {name} " in said.output for name in (*OF_A_CLUSTER, "version"))
    assert run("-h").output == said.output


def test_version_for_people_and_programs() -> None:
    assert run("version").output == f"pgherd {__version__}\n"
    assert run("version", "-f", "json").output == f'{{"version": "{__version__}"}}\n'


@pytest.mark.parametrize("command", OF_A_CLUSTER)
def test_without_settings_the_way_out_is_named(command: str, nowhere: Path) -> None:
    said = run(command)
    assert said.exit_code == 1 and said.stdout == ""
    assert str(nowhere / "pgherd.yaml") in said.stderr and "--cluster" in said.stderr
    assert "Traceback" not in said.stderr and said.stderr.startswith("Error: ")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("cluster: [", "pgherd.yaml"),
        ("cluster: demo", "postgres"),
        (SETTINGS.replace("version: 17", "version: 9"), "postgres.version=9"),
        (SETTINGS + "surplus: 1", "surplus"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(text: str, named: str, nowhere: Path) -> None:
    (nowhere / "pgherd.yaml").write_text(text)
    said = run("list")
    assert said.exit_code == 1 and named in said.stderr and "Traceback" not in said.stderr


@pytest.mark.parametrize("words", [("nonsense",), ("list", "-f", "xml"), ("list", "-w", "0"), ("history", "--all")])
def test_wrong_usage_has_a_status_of_its_own(words: tuple[str, ...]) -> None:
    assert run(*words).exit_code == 2


def test_a_kubeconfig_that_is_not_there_is_named(nowhere: Path) -> None:
    said = run("list", "-c", "demo", "--kubeconfig", str(nowhere / "none"))
    assert said.exit_code == 1 and str(nowhere / "none") in said.stderr and "Traceback" not in said.stderr


# Which cluster


def test_in_a_pod_the_settings_say_everything(nowhere: Path) -> None:
    (nowhere / "pgherd.yaml").write_text(SETTINGS)
    environ = {"PGHERD_SETTINGS": str(nowhere / "pgherd.yaml"), "PGHERD_NAMESPACE": "ns"}
    found = target.find(target.Asked(), environ)
    assert (found.cluster, found.namespace, found.members) == ("demo", "ns", ("m0", "m1"))
    assert (found.rest_port, found.postgres_port, found.kubeconfig) == (8009, 5433, None)
    assert found.certificates == "/pgconf/tls/rest"
    other = target.find(target.Asked(namespace="other", certificates="/mine"), environ)
    assert (other.namespace, other.certificates) == ("other", "/mine")


@pytest.mark.parametrize(
    ("environ", "kubeconfig"),
    [
        ({"KUBECONFIG": "/one:/two"}, "/one"),
        ({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, None),
    ],
)
def test_elsewhere_options_do(environ: dict[str, str], kubeconfig: str | None) -> None:
    found = target.find(target.Asked(cluster="demo"), environ)
    assert (found.cluster, found.kubeconfig, found.certificates, found.members) == ("demo", kubeconfig, None, ())
    asked = target.find(target.Asked(cluster="demo", kubeconfig="/mine"), environ)
    assert asked.kubeconfig == "/mine"


def test_the_users_own_kubeconfig_is_the_last_resort(nowhere: Path) -> None:
    assert target.find(target.Asked(cluster="demo"), {}).kubeconfig == str(nowhere / ".kube/config")


def test_a_settings_file_that_may_not_be_read_says_why(nowhere: Path) -> None:
    with pytest.raises(InvalidSetting, match="Is a directory"):
        target.find(target.Asked(), {"PGHERD_SETTINGS": str(nowhere)})
