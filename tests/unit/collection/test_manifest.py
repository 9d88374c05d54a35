"""A PGO manifest as declaration: every field arrives or is refused with its path, by PGO's rules and pgherd's."""

from __future__ import annotations

import copy
import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.pgherd.postgres.plugins.action.declare import manifest_file, the_cluster
from ansible_collections.pgherd.postgres.plugins.module_utils.checks import Problems
from ansible_collections.pgherd.postgres.plugins.module_utils.declaration import DEFAULTS, KNOWN, Invalid, declare
from ansible_collections.pgherd.postgres.plugins.module_utils.instance_sets import FIELDS as SET_FIELDS
from ansible_collections.pgherd.postgres.plugins.module_utils.manifest import with_manifest
from ansible_collections.pgherd.postgres.plugins.module_utils.manifest_fields import FIELDS, READ_ONLY
from ansible_collections.pgherd.postgres.plugins.module_utils.pooler import FIELDS as POOLER_FIELDS

from .conftest import ROOT
from .serving import environment

FOLDER = Path(__file__).parent / "pgo"
SMALLEST, RICH = (yaml.safe_load((FOLDER / f"{name}.yaml").read_text()) for name in ("smallest", "rich"))
MISSING = object()


def at(value: Any, path: str) -> Any:
    for name in re.findall(r"[^.\[\]]+", path):
        try:
            value = value[int(name) if isinstance(value, list) else name]
        except (KeyError, IndexError):
            return MISSING
    return value


def changed(path: str, value: Any, manifest: dict[str, Any] = SMALLEST) -> dict[str, Any]:
    """A copy with something else at a path, whose parents are made."""
    made = copy.deepcopy(manifest)
    made["spec"].pop("backups", None)
    holder: Any = made
    *parents, last = re.findall(r"[^.\[\]]+", path)
    for name, after in itertools.pairwise([*parents, last]):
        if isinstance(holder, list):
            holder.extend({} for _ in range(int(name) + 1 - len(holder)))
            holder = holder[int(name)]
        else:
            holder = holder.setdefault(name, [] if after.isdigit() else {})
    if isinstance(holder, list):
        holder.insert(int(last), value)
    elif value is MISSING:
        del holder[last]
    else:
        holder[last] = value
    return made


def declared(manifest: dict[str, Any], **variables: Any) -> dict[str, Any]:
    named = {f"postgres_{name}": value for name, value in variables.items()}
    return declare({"postgres_cluster_manifest": manifest, "postgres_image": RICH["spec"]["image"], **named}, "host")


def refused(manifest: dict[str, Any], **variables: Any) -> tuple[str, ...]:
    with pytest.raises(Invalid) as caught:
        declared(manifest, **variables)
    return caught.value.problems


def test_every_field_that_is_taken_over_arrives_unchanged() -> None:
    problems = Problems()
    variables, found = with_manifest({"postgres_cluster_manifest": RICH}, DEFAULTS, "host", problems)
    origins = found.paths
    assert problems.texts == []
    taken = {re.sub(r"\[\d+\]", "[]", path) for path in origins.values()}
    aliases = {f"spec.patroni.dynamicConfiguration.master_{name}_timeout" for name in ("start", "stop")}
    aliases |= {"spec.standby", "spec.patroni.dynamicConfiguration.standby_cluster"}  # test_standby.py
    wanted = {field.path for field in FIELDS.values() if field.target not in ("", READ_ONLY)} - aliases
    # Two fields that add to one variable have one origin each; the last one is kept.
    shared = {"spec.authentication.rules", "spec.patroni.dynamicConfiguration.postgresql.parameters"}
    assert wanted - taken <= shared and all(at(RICH, path) is not MISSING for path in shared)
    for name, path in origins.items():
        field = FIELDS.get(re.sub(r"\[\d+\]", "[]", path))
        if (
            field is not None
            and field.convert is None
            and field.target not in ("postgres_parameters", "postgres_pg_hba", "postgres_pooler.parameters")
        ):
            assert at(variables, name) == at(RICH, path), name


@pytest.mark.parametrize(
    ("pgbouncer", "mode", "parameters"),
    [
        ({}, "session", {}),
        ({"config": {"global": {"max_client_conn": "500"}}}, "session", {"max_client_conn": "500"}),
        ({"config": {"global": {"pool_mode": "transaction"}}}, "transaction", {}),
    ],
)
def test_a_pooler_has_the_mode_of_its_settings_or_pgbouncers_own(
    pgbouncer: dict[str, Any], mode: str, parameters: dict[str, str]
) -> None:
    manifest = changed("spec.proxy", {"pgBouncer": pgbouncer})
    before = copy.deepcopy(manifest)
    pooler = declared(manifest)["pooler"]
    assert (pooler["mode"], pooler["parameters"], manifest) == (mode, parameters, before)
    assert [(pool["name"], pool["replicas"]) for pool in pooler["pools"]] == [("hippo-pgbouncer", 1)]
    more = declared(manifest, pooler={"read_only_replicas": 2})["pooler"]
    assert [pool["replicas"] for pool in more["pools"]] == [1, 2]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("config.global.pool_mode", "sometimes", "must be one of session, transaction, statement"),
        ("config.global.auth_type", "trust", "belongs to pgherd"),
        ("config.databases.app", "host=elsewhere", "must not say host"),
        ("config.global", {f"x{n}": "1" for n in range(51)}, "may have 50 entries"),
        ("replicas", -1, "must be"),
    ],
)
def test_what_a_pooler_cannot_be_is_refused_by_the_manifests_path(path: str, value: Any, said: str) -> None:
    problems = refused(changed(f"spec.proxy.pgBouncer.{path}", value))
    assert any(text.startswith(f"spec.proxy.pgBouncer.{path}") and said in text for text in problems), problems


def test_what_two_fields_say_goes_together_as_pgo_puts_it() -> None:
    cluster = declare({"postgres_cluster_manifest": RICH}, "host")
    postgresql = cluster["configuration"]["postgresql"]
    assert postgresql["parameters"] == {
        "work_mem": "16MB", "max_connections": 200, "shared_preload_libraries": "pg_stat_statements",
    }  # fmt: skip
    assert postgresql["pg_hba"] == [
        'hostssl "animals" "keeper" all scram-sha-256',
        "local all all peer",
        'host all all all ldap ldapprefix="cn=" ldapserver="ldap.example" ldaptls="1"',
        "host all bad 10.0.0.0/8 reject",
        "hostssl all all all scram-sha-256",
    ]
    assert (cluster["name"], cluster["namespace"], cluster["default_scheduling"]) == ("rhino", "zoo", False)


def test_every_target_is_a_variable() -> None:
    for field in FIELDS.values():
        if field.target not in ("", READ_ONLY):
            variable, _, rest = field.target.partition("[].")
            variable, _, part = variable.partition(".")
            assert variable in KNOWN and (not part or part in POOLER_FIELDS), field
            if variable == "postgres_instances":
                assert rest.split(".")[0].removesuffix("[]") in SET_FIELDS, field
        assert bool(field.target) != bool(field.reason), f"{field.path} is either taken over or has a reason"


@pytest.mark.parametrize("path", [each.path for each in FIELDS.values() if not each.target])
def test_every_field_that_is_not_supported_is_refused_by_its_path_unless_ignored(path: str) -> None:
    concrete = path.replace("[]", "[0]")
    manifest = changed(concrete, {"some": "thing"})
    said = [text for text in refused(manifest) if text.startswith(f"{concrete}=")]
    assert any("is not supported: " in text for text in said), refused(manifest)
    if path not in ("apiVersion", "kind"):
        for ignored in (path, concrete):
            others = Problems()
            with_manifest(
                {"postgres_cluster_manifest": manifest, "postgres_manifest_ignore": [ignored]}, DEFAULTS, "x", others
            )
            assert not [text for text in others.texts if "is not supported" in text]


@pytest.mark.parametrize(
    "path", ["spec.backups", "spec.proxy", "spec.instances[0].sidecars", "spec.instances[].sidecars", "metadata.uid"]
)
def test_fields_may_be_ignored_with_all_that_is_below(path: str) -> None:
    manifest = changed("spec.instances[0].sidecars.replicaCertCopy.resources", {})
    manifest["spec"] |= {"backups": {"pgbackrest": {}}, "proxy": {"pgBouncer": {}}}
    everything = ["spec.backups", "spec.proxy", "spec.instances[0].sidecars.replicaCertCopy"]
    assert declared(manifest, manifest_ignore=[*everything, path])["name"] == "hippo"


def test_a_field_that_pgo_has_not_is_refused_with_those_that_it_has() -> None:
    (said,) = refused(changed("spec.instances[0].replica", 2))
    assert said.startswith(
        "spec.instances[0].replica=2: no such field; did you mean replicas? known are metadata, name"
    )
    (said,) = refused(changed("spec.image", "x:1"), manifest_ignore=["spec.imag"], image="")
    assert said == 'postgres_manifest_ignore="spec.imag": is no field of a PostgresCluster; did you mean spec.image?'


def test_what_the_api_server_wrote_declares_nothing() -> None:
    manifest = changed("metadata.managedFields", [{"manager": "kubectl"}])
    manifest["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "a": "b"}
    assert declared({**manifest, "status": {"patroni": {}}})["annotations"] == {"a": "b"}


def test_what_a_manifest_does_not_say_is_as_pgo_does_it_unless_the_inventory_says() -> None:
    plain = declared(changed("spec.port", 5432))
    timing = {name: plain["configuration"][name] for name in ("ttl", "loop_wait", "retry_timeout")}
    assert (timing, plain["prefix"]) == (
        {"ttl": 30, "loop_wait": 10, "retry_timeout": 10}, "postgres-operator.crunchydata.com/",
    )  # fmt: skip
    own = declared(changed("spec.port", 5432), ttl=24, loop_wait=5, retry_timeout=5, label_prefix="example.org/")
    assert (own["configuration"]["ttl"], own["prefix"]) == (24, "example.org/")


def test_users_get_no_schemas_that_pgo_would_not_make() -> None:
    for said, expected in (({}, False), ({"postgres_create_user_schema": "yes"}, "yes")):
        given = {"postgres_cluster_manifest": SMALLEST, **said}
        assert with_manifest(given, DEFAULTS, "host", Problems())[0]["postgres_create_user_schema"] == expected


def test_sets_without_a_name_have_pgos() -> None:
    manifest = changed("spec.instances[0].name", MISSING)
    manifest["spec"]["instances"].append(copy.deepcopy(manifest["spec"]["instances"][0]))
    assert [each["name"] for each in declared(manifest)["sets"]] == ["00", "01"]


@pytest.mark.parametrize(
    ("users", "names"), [(MISSING, ["hippo"]), ([], []), ([{"name": "app"}], ["app"])],
)  # fmt: skip
def test_no_users_are_not_the_same_as_none_named(users: Any, names: list[str]) -> None:
    manifest = changed("spec.port", 5432) if users is MISSING else changed("spec.users", users)
    assert [each["name"] for each in declared(manifest)["users"]] == names


def test_an_inventory_that_contradicts_is_refused_with_both_names() -> None:
    manifest = changed("spec.config.parameters", {"work_mem": "8MB"})
    said = refused(
        manifest | {"metadata": {"name": "hippo", "namespace": "db"}}, namespace="other", version=16,
        parameters={"work_mem": "4MB", "jit": "on"}, instances=[{"name": "a", "replicas": 1, "storage": "2Gi"}],
        cluster_name="zebra",
    )  # fmt: skip
    end = " of postgres_cluster_manifest; remove one of them"
    assert set(said) == {
        f'postgres_cluster_name="zebra": contradicts metadata.name="hippo"{end}',
        f'postgres_namespace="other": contradicts metadata.namespace="db"{end}',
        f"postgres_version=16: contradicts spec.postgresVersion=17{end}",
        f'postgres_parameters.work_mem="4MB": contradicts spec.config.parameters.work_mem="8MB"{end}',
        f'postgres_instances=[{{"name": "a", "replicas": 1, "storage": "2Gi"}}]: contradicts spec.instances{end}',
    }


def test_no_users_contradict_users() -> None:
    (said,) = refused(changed("spec.users", []), users=[{"name": "app"}])
    assert said.startswith('postgres_users=[{"name": "app"}]: contradicts spec.users=[]')


def test_an_inventory_that_agrees_or_adds_is_taken() -> None:
    manifest = changed("spec.config.parameters", {"work_mem": "8MB"})
    cluster = declared(manifest, version="17", parameters={"jit": "on"}, namespace="db", pg_hba=["local all all peer"])
    assert cluster["configuration"]["postgresql"]["parameters"] == {"jit": "on", "work_mem": "8MB"}
    assert cluster["configuration"]["postgresql"]["pg_hba"] == ["local all all peer"]


RULE = "spec.authentication.rules[0]"
DENIED = """
config_file data_directory external_pid_file hba_file ident_file listen_addresses port ssl ssl_cert_file ssl_ciphers
unix_socket_directories unix_socket_group wal_log_hints archive_mode archive_command restore_command recovery_target
recovery_target_time hot_standby synchronous_standby_names primary_conninfo primary_slot_name recovery_min_apply_delay
cluster_name logging_collector log_file_mode
""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", DENIED)
def test_parameters_that_pgo_refuses(name: str) -> None:
    (said,) = refused(changed(f"spec.config.parameters.{name}", "x"))
    assert said == f'spec.config.parameters.{name}="x": cannot be set: high availability and TLS rest on it'


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("spec.config.parameters.wal_level", "replica", "must be logical"),
        ("spec.config.parameters.ssl_groups", "x25519", "needs PostgreSQL 18 or newer"),
        ("spec.config.parameters.jit", True, "must be a text or a whole number; quote"),
        ("spec.config.parameters", {f"x.y{n}": 1 for n in range(51)}, "may have 50 entries"),
        ("spec.users", [{"name": f"u{n}"} for n in range(65)], "may have 64 entries"),
        ("spec.users[0]", {"name": "app", "options": "PASSWORD 'x'"}, "without PASSWORD"),
        ("spec.users[0]", {"name": "app", "options": "LOGIN /* */"}, "without PASSWORD, comments"),
        ("spec.users[0]", {"name": "App"}, "must be a name that Kubernetes takes"),
        ("spec.authentication.rules", [{"hba": "local all all peer"}] * 11, "may have 10 entries"),
        (RULE, {"hba": "x" * 101}, "must be one line of 1 to 100 printable characters"),
        (RULE, {"hba": " include other"}, "cannot include other files"),
        (RULE, {"hba": "local all all peer", "method": "md5"}, "hba cannot be combined with method"),
        (RULE, {"connection": "host"}, "is required: up to 20"),
        (RULE, {"connection": "host", "method": "trust"}, "is unsafe"),
        (RULE, {"connection": "host", "method": "ldap"}, "ldap needs ldapbasedn, ldapprefix or ldapsuffix"),
        (
            RULE, {"connection": "host", "method": "ldap", "options": {"ldapprefix": "a", "ldapbasedn": "b"}},
            "ldapprefix and ldapsuffix go with none of ldapbasedn",
        ),
        (RULE, {"connection": "host", "method": "radius", "options": {"radiusservers": "a"}}, "radius needs"),
        (RULE, {"connection": "host", "method": "md5", "users": ["a" * 64]}, "must be names of 1 to 63 characters"),
        (RULE, {"connection": "host", "method": "md5", "databases": ["a"] * 21}, "may have 20 entries"),
        (RULE, {"conection": "host", "method": "md5"}, "no such field"),
        ("spec.patroni.leaderLeaseDurationSeconds", 2, "must be a whole number of at least 3"),
        ("spec.patroni.syncPeriodSeconds", 0, "must be a whole number of at least 1"),
        ("spec.patroni.leaderLeaseDurationSeconds", 12, "must be at least"),
        ("spec.port", 80, "must be a whole number from 1024"),
        ("spec.postgresVersion", MISSING, "is required"),
        ("spec.instances", [], "must have at least one entry"),
        ("spec.instances[0].dataVolumeClaimSpec", MISSING, "is required"),
        ("spec.instances[0].dataVolumeClaimSpec.accessModes", MISSING, "is required"),
        ("spec.instances[0].walVolumeClaimSpec", {"accessModes": ["ReadWriteOnce"]}, "is required"),
        ("spec.instances[0].name", "a" * 42, "together they may have 46"),
        ("spec.instances[0].volumes.additional[0]", {"name": "x"}, "must have one of claimName and image"),
        ("spec.instances[0].tablespaceVolumes[0].name", "No", "must be a letter"),
        ("spec.instances[0].minAvailable", 4, "must be a number from 0 to 3"),
        ("spec.service.nodePort", 30000, "needs postgres_service_type NodePort or LoadBalancer"),
        ("spec.service.type", "External", "must be one of ClusterIP"),
        ("metadata.annotations", {"postgres-operator.crunchydata.com/trigger-switchover": "1"}, "is a request to PGO"),
        ("spec.patroni.dynamicConfiguration.ttl", 20, "PGO ignores it here"),
        ("spec.patroni.dynamicConfiguration.postgresql.bin_name", {}, "no such field"),
        ("spec.paused", True, "is not supported"),
        ("kind", "PGUpgrade", "must be PostgresCluster"),
        ("apiVersion", MISSING, "is required"),
        ("apiVersion", "postgres-operator.crunchydata.com/v2", "must be one of postgres-operator.crunchydata.com/v1b"),
    ],
)  # fmt: skip
def test_values_that_pgo_or_pgherd_refuses_are_named_by_their_path(path: str, value: Any, said: str) -> None:
    problems = refused(changed(path, value))
    assert any(said in text for text in problems), problems
    start = re.sub(r"\[\d+\]$", "", path).split(".")[:2]
    assert all(text.startswith((".".join(start), path)) for text in problems), problems


def test_only_version_1_refuses_log_directories_and_many_sets() -> None:
    beta = changed("spec.config.parameters.log_directory", "/srv/log")
    assert declared(beta)["configuration"]["postgresql"]["parameters"] == {"log_directory": "/srv/log"}
    first = {**beta, "apiVersion": "postgres-operator.crunchydata.com/v1"}
    (said,) = refused(first)
    assert said.startswith(
        'spec.config.parameters.log_directory="/srv/log": must be log, or below /pgdata/logs/postgres'
    )
    for place in ("log", "/pgdata/logs/postgres/mine", "/volumes/logs"):
        first["spec"]["config"]["parameters"]["log_directory"] = place
        declared(first)
    one = first["spec"]["instances"][0]
    first["spec"]["instances"] = [{**one, "name": f"i{number}"} for number in range(17)]
    assert any(text == "spec.instances=17: may have 16 entries" for text in refused(first))


def test_a_cluster_that_is_to_be_shut_down_is() -> None:
    stopped = copy.deepcopy(SMALLEST)
    stopped["spec"]["shutdown"] = True
    found = [declared(each, manifest_ignore=["spec.backups"])["shutdown"] for each in (stopped, SMALLEST)]
    assert found == [True, False]


def test_a_misspelt_field_of_what_is_not_supported_is_no_field_either() -> None:
    wrong = copy.deepcopy(SMALLEST)
    wrong["spec"]["monitoring"] = {"pgmonitor": {"exporter": {"imagex": "x", "image": "y"}}}
    first, second = sorted(refused(wrong, manifest_ignore=["spec.backups"]))
    assert first.startswith("spec.monitoring.pgmonitor.exporter.image=") and "postgres_monitoring" in first
    assert second.startswith("spec.monitoring.pgmonitor.exporter.imagex=") and "postgres_monitoring" not in second


def test_what_is_no_manifest_is_refused() -> None:
    problems = refused(["a", "b"], namespace="db")  # type: ignore[arg-type]
    assert problems == ('postgres_cluster_manifest=["a", "b"]: must be the name of a file or a PostgresCluster',)


def test_a_file_holds_one_cluster_among_other_objects() -> None:
    assert the_cluster([None, {"kind": "Secret"}, SMALLEST]) == SMALLEST
    for documents in ([], [SMALLEST, SMALLEST]):
        with pytest.raises(ValueError, match=f"must hold one PostgresCluster; it holds {len(documents)}"):
            the_cluster(documents)


def test_the_documentation_lists_every_field() -> None:
    text = (ROOT / "docs" / "pgo-mapping.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", text, re.MULTILINE)
    assert rows == [(field.path, _outcome(field)) for field in FIELDS.values()]


def _outcome(field: Any) -> str:
    if field.target == READ_ONLY:
        return "declares nothing"
    if field.target:
        return f"`{field.target}`"
    harmless = (
        f" (but {', '.join(f'`{str(each).lower() if isinstance(each, bool) else each}`' for each in field.harmless)})"
    )
    return f"refused{harmless if field.harmless else ''}: {field.reason}"


def test_a_file_is_looked_for_beside_inventory_and_playbook_and_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a job of AWX the inventory is the runner's own, and an imported playbook the collection's."""
    folders = [tmp_path / name for name in ("inventory", "playbook", "project")]
    for each in folders:
        each.mkdir()
    monkeypatch.chdir(folders[2])
    places = [str(folders[0]), str(folders[1]), ""]
    with pytest.raises(Invalid) as caught:
        manifest_file("hippo.yaml", places)
    (said,) = caught.value.problems
    assert said.startswith("postgres_cluster_manifest=hippo.yaml: there is no ")
    assert all(str(each / "hippo.yaml") in said for each in folders)
    for each in reversed(folders):
        (each / "hippo.yaml").touch()
        assert manifest_file("hippo.yaml", places) == each / "hippo.yaml", "the first counts"
    with pytest.raises(Invalid, match=f"there is no {tmp_path}/hippo.yaml;"):
        manifest_file(f"{tmp_path}/hippo.yaml", places)


def test_a_playbook_in_a_project_finds_its_manifest(tmp_path: Path) -> None:
    """As AWX starts it: in the project, whose playbook imports the collection's."""
    project, runner = tmp_path / "project", tmp_path / "runner"
    (project / "manifests").mkdir(parents=True)
    runner.mkdir()
    (runner / "hosts").write_text("[postgres_clusters]\nhost postgres_cluster_manifest=manifests/hippo.yaml\n")
    (project / "status.yml").write_text("- ansible.builtin.import_playbook: pgherd.postgres.status\n")
    program = (sys.executable, "-m", "ansible.cli.playbook")

    def played() -> str:
        command = [*program, "-i", str(runner / "hosts"), "status.yml"]
        done = subprocess.run(
            command, cwd=project, env=environment("http://127.0.0.1:9"), capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    missing = played()
    assert all(f"{folder}/manifests/hippo.yaml" in missing for folder in (runner, project))
    (project / "manifests" / "hippo.yaml").write_text(yaml.safe_dump({**SMALLEST, "spec": {"no": 1}}))
    assert "spec.no=1" in played(), "it was read"
