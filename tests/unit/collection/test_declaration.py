"""A declaration that cannot work is refused, naming variable, value and what is allowed."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.pgherd.postgres.plugins.action.declare import evaluated
from ansible_collections.pgherd.postgres.plugins.module_utils.checks import quantity
from ansible_collections.pgherd.postgres.plugins.module_utils.declaration import DEFAULTS, KNOWN, Invalid, declare
from ansible_collections.pgherd.postgres.plugins.module_utils.names import rendered_names
from ansible_collections.pgherd.postgres.plugins.module_utils.operations import INPUTS
from ansible_collections.pgherd.postgres.plugins.module_utils.timing import timing_problem

from .rendering import ROLE, cluster, rendered, variables

INSTANCE: dict[str, Any] = {"name": "instance1", "replicas": 1, "storage": "1Gi"}
COPY: dict[str, Any] = {"name": "copy", "command": "/bin/copy"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"instance": 3}, "postgres_instance=3: no such variable; did you mean postgres_instances?"),
        ({"replicas": 3}, "known variables are postgres_allow_data_loss_reclone, "),
        (
            {"instances": [{**INSTANCE, "replica": 3}]},
            "postgres_instances[0].replica=3: no such field; did you mean repl",
        ),
        ({"users": [{"name": "app", "database": "x"}]}, "postgres_users[0].database"),
        ({"network_policy": "perhaps"}, 'postgres_network_policy="perhaps": must be true or false'),
        ({"network_policy_clients": [{"pods": {}}]}, "postgres_network_policy_clients[0].pods={}: no such field"),
        (
            {"network_policy_clients": [{"ipBlock": {"cidr": "10.1.0.0/33"}}]},
            'postgres_network_policy_clients[0].ipBlock.cidr="10.1.0.0/33": must be a network',
        ),
        (
            {"network_policy_monitoring": [{"ipBlock": {"cidr": "10.1.0.0/16"}, "podSelector": {}}]},
            "must have an ipBlock alone, or podSelector, namespaceSelector or both",
        ),
        (
            {"instances": [{**INSTANCE, "replicas": 0}]},
            "postgres_instances[0].replicas=0: must be a whole number from 1",
        ),
        ({"instances": []}, "postgres_instances=[]: must have at least one entry"),
        (
            {"instances": [{**INSTANCE, "storage": "10"}]},
            'postgres_instances[0].storage="10": must be a size with a unit',
        ),
        ({"instances": [{**INSTANCE, "storage": 10}]}, "postgres_instances[0].storage=10: must be a size with a unit"),
        ({"instances": [{**INSTANCE, "storage": "0Gi"}]}, "must be a size with a unit"),
        ({"instances": [{**INSTANCE, "name": "Set_1"}]}, 'postgres_instances[0].name="Set_1": must be a name that Kub'),
        ({"instances": [INSTANCE, INSTANCE]}, "is there twice"),
        ({"instances": [{**INSTANCE, "name": "a" * 43}]}, "it has 47 characters; together they may have 46"),
        ({"instances": [{**INSTANCE, "members": ["demo-x-1"]}]}, "must be names that begin with demo-instance1-"),
        ({"instances": [{**INSTANCE, "members": []}]}, "must be 1 different names"),
        ({"instances": [{**INSTANCE, "tags": {"nofailover": "perhaps"}}]}, "tags.nofailover="),
        ({"instances": [{**INSTANCE, "tags": {"failover_priority": -1}}]}, "must be a whole number from 0 to 1000"),
        ({"instances": [{**INSTANCE, "tags": {"nostream": True}}]}, "tags.nostream=true: needs an archive"),
        (
            {"instances": [{**INSTANCE, "tags": {"replicatefrom": "demo"}}]},
            "must be one of the members demo-instance1-",
        ),
        ({"instances": [{**INSTANCE, "tags": {"zone": ["a"]}}]}, "must be a text, a number, true or false"),
        ({"instances": [{**INSTANCE, "tags": {"nofailover": True}}]}, "no member may lead"),
        ({"instances": [{**INSTANCE, "tags": {"failover_priority": 0}}]}, "no member may lead"),
        ({"instances": [{**INSTANCE, "tags": ["nosync"]}]}, "postgres_instances[0].tags"),
        ({"callbacks": {"on_fire": "/x"}}, "postgres_callbacks.on_fire"),
        ({"callbacks": {"on_start": "x.sh"}}, 'postgres_callbacks.on_start="x.sh": must be a command line'),
        ({"pre_promote": "check"}, 'postgres_pre_promote="check": must be a command line'),
        ({"hook_timeout": 0}, "postgres_hook_timeout=0: must be from 1 to 3600 seconds"),
        ({"clone_methods": ["basebackup"]}, "postgres_clone_methods[0]"),
        ({"clone_methods": [{"name": "copy"}]}, "postgres_clone_methods[0].command=null: must be a command line"),
        ({"clone_methods": [{"name": "basebackup", "command": "/x"}]}, "postgres_clone_methods[0].command"),
        ({"clone_methods": [{"name": "basebackup"}] * 2}, "is there twice; each method can be there once"),
        ({"clone_methods": [{**COPY, "name": "pg_hba"}]}, 'postgres_clone_methods[0].name="pg_hba": must be a name'),
        ({"clone_methods": [{**COPY, "keep_data": "perhaps"}]}, "keep_data"),
        ({"clone_methods": [{**COPY, "time_limit": 0}]}, "must be a whole number from 1 to 604800"),
        ({"clone_methods": [{**COPY, "arguments": {"db_password": "x1"}}]}, "would be seen in the process list"),
        ({"clone_methods": [{**COPY, "arguments": {"command": "x1"}}]}, "none of command, keep_data"),
        ({"clone_methods": [{**COPY, "arguments": {"list": [1]}}]}, "arguments.list=[1]: must be a text, a number"),
        ({"bootstrap_method": COPY | {"keep_data": True}}, "postgres_bootstrap_method.keep_data"),
        ({"bootstrap_method": {"name": "copy", "command": "cp"}}, 'command="cp": must be a command line'),
        ({"cluster_name": "Demo"}, 'postgres_cluster_name="Demo": must be a name that Kubernetes takes'),
        ({"namespace": "no_such"}, 'postgres_namespace="no_such"'),
        ({"version": 13}, "postgres_version=13: must be one of 14, 15, 16, 17, 18"),
        ({"version": "new"}, 'postgres_version="new"'),
        ({"image": ""}, 'postgres_image="": is required'),
        ({"port": 80}, "postgres_port=80: must be a whole number from 1024 to 65535"),
        ({"port": 8008}, "is also postgres_rest_port"),
        ({"ttl": 5}, "postgres_ttl=5: must be at least 8 = postgres_loop_wait 3"),
        ({"loop_wait": "soon"}, 'postgres_loop_wait="soon": must be a number'),
        ({"standby": {"hots": "a"}}, "postgres_standby.hots"),
        ({"standby": {"port": 5432}}, "needs host or restore_command"),
        ({"standby": {"host": "a b"}}, 'postgres_standby.host="a b": must be a DNS name'),
        ({"standby": {"host": "a", "port": 0}}, "postgres_standby.port=0: must be a whole number from 1 to 65535"),
        ({"standby": {"restore_command": "cp %p"}}, "postgres_standby.restore_command"),
        ({"standby": {"host": "a", "recovery_min_apply_delay": "soon"}}, "must be a number, perhaps with us"),
        ({"standby": {"host": "a", "sslmode": "prefer"}}, "must be one of verify-full, verify-ca"),
        ({"standby": {"host": "a", "create_replica_methods": ["x"]}}, "must be one of basebackup"),
        ({"standby": {"restore_command": "x %f %p", "primary_slot_name": "s"}}, "needs host"),
        ({"parameters": {"restore_command": "cp"}}, "must contain %f and %p"),
        ({"synchronous_mode": "maybe"}, "postgres_synchronous_mode='maybe': must be on, off or quorum"),
        ({"synchronous_mode_strict": "yes"}, "postgres_synchronous_mode_strict='yes': must be true or false"),
        ({"synchronous_node_count": 0}, "postgres_synchronous_node_count=0: must be a whole number of at least 1"),
        ({"maximum_lag_on_syncnode": -2}, "postgres_maximum_lag_on_syncnode=-2: must be a whole number of at least -1"),
        ({"parameters": {"listen_addresses": "*"}}, 'postgres_parameters.listen_addresses="*": pgherd sets this'),
        ({"parameters": {"ssl_cert_file": "x"}}, "postgres_parameters.ssl_cert_file"),
        ({"parameters": {"recovery_target_time": "x"}}, "postgres_parameters.recovery_target_time"),
        ({"parameters": {"wal_level": "replica"}}, "wal_level is always logical"),
        ({"parameters": {"a b": 1}}, "is not the name of a PostgreSQL parameter"),
        ({"pg_hba": ["include other.conf"]}, "without include"),
        ({"pg_ident": ["@others"]}, "must be lines of pg_ident.conf"),
        ({"slots": {"Up": {}}}, 'postgres_slots="Up": must be names of 1 to 63'),
        (
            {"slots": {"a": {"type": "temporary"}}},
            'postgres_slots.a.type="temporary": must be one of physical, logical',
        ),
        ({"slots": {"a": {"type": "logical", "database": "app"}}}, "a logical slot needs database and plugin"),
        ({"slots": {"a": {"plugin": "pgoutput"}}}, "a logical slot needs database and plugin"),
        ({"slots": {"a": {"type": "physical", "plugin": "x"}}}, "a physical slot has neither"),
        ({"slots": {"a": {"databse": "app"}}}, "postgres_slots.a.databse"),
        ({"slots": {"a": {"cluster_type": "any"}}}, "must be one of primary, standby"),
        ({"slots": ["a"]}, "must be a dictionary"),
        ({"ignore_slots": [{}]}, "must name at least one of name, type, database, plugin"),
        ({"ignore_slots": [{"name": 5}]}, "postgres_ignore_slots[0].name=5: must be a text"),
        ({"use_slots": "maybe"}, "must be true or false"),
        ({"service_type": "External"}, "must be one of ClusterIP, NodePort, LoadBalancer"),
        ({"service_node_port": 30432}, "needs postgres_service_type NodePort or LoadBalancer"),
        (
            {
                "service_type": "NodePort",
                "service_node_port": 30432,
                "replica_service_type": "NodePort",
                "replica_service_node_port": 30432,
            },
            "postgres_replica_service_node_port=30432: is also postgres_service_node_port",
        ),
        (
            {
                "service_type": "NodePort",
                "service_node_port": 30432,
                "pooler": {"service_type": "NodePort", "node_port": 30432},
            },
            "postgres_pooler.node_port=30432: is also postgres_service_node_port",
        ),
        ({"users": [{"name": "pg_app"}]}, "are reserved"),
        ({"users": [{"name": "app", "options": "SUPERUSER; DROP"}]}, "must be role options"),
        ({"resources": {"limits": {"memory": "lots"}}}, 'postgres_resources.limits.memory="lots": must be a quantity'),
        ({"resources": {"limits": "1Gi"}}, 'postgres_resources.limits="1Gi": must be a dictionary'),
        (
            {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1500M"}}},
            'postgres_resources.requests.memory="2Gi": must be at most 1500M, which is',
        ),
        (
            {"resources": {"requests": {"cpu": "1500m"}, "limits": {"cpu": 1}}},
            'requests.cpu="1500m": must be at most 1',
        ),
        ({"configuration_conflict": "ask"}, "must be one of fail, inventory, cluster"),
        ({"patches": [{"kind": "Service", "strategy": 1}]}, "postgres_patches[0].strategy"),
        (
            {"patches": [{"kind": "Deployment", "merge": {}}]},
            'postgres_patches[0].kind="Deployment": must be one of Conf',
        ),
        (
            {"patches": [{"kind": "Service", "name": "demo", "merge": {}}]},
            'postgres_patches[0].name="demo": must be one of demo-ha, demo-ha-config, demo-pods, demo-primary, demo',
        ),
        (
            {"patches": [{"kind": "Service", "merge": {"metadata": {"name": "mine"}}}]},
            "postgres_patches[0].merge.metadata.name: cannot be changed",
        ),
        ({"ttl": float("inf")}, "postgres_ttl=Infinity: must be a number"),
        ({"port": float("nan")}, "postgres_port=NaN: must be a whole number"),
        ({"ttl": 90000, "loop_wait": 3}, "postgres_ttl=90000: must be at most 86400 seconds"),
        ({"version": float("inf")}, "postgres_version=Infinity: must be a number"),
        ({"instances": [{"name": "a"}]}, "postgres_instances[0].storage=null: must be a size with a unit"),
        (
            {"instances": [{**INSTANCE, "storage_class": "Fast Disk"}]},
            'postgres_instances[0].storage_class="Fast Disk"',
        ),
        ({"storage_class": "fast_disk"}, 'postgres_storage_class="fast_disk": must be a DNS name'),
        ({"cluster_domain": "cluster_local"}, 'postgres_cluster_domain="cluster_local": must be a DNS name'),
        ({"certificate_names": ["db example"]}, 'postgres_certificate_names="db example": must be a DNS name'),
        ({"image_pull_secrets": ["mine"]}, 'postgres_image_pull_secrets[0]="mine": must be a dictionary'),
    ],
)
def test_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid) as caught:
        cluster(**changes)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"password": "hunter2"},
        {"admin": {"name": "x", "password": "hunter2"}},
        {"users": [{"name": "app", "password": "hunter2"}]},
        {"users": {"app": {"password": "hunter2"}}},
        {"users": [{"name": "app", "options": "LOGIN PASSWORD 'hunter2'"}]},
        {"parameters": {"primary_conninfo": "host=x password=hunter2"}},
        {"parameters": {"restore_command": "curl https://me:hunter2@example.org/%f"}},
    ],
)
def test_a_refusal_shows_no_secret(changes: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        cluster(**changes)
    assert "hunter2" not in str(caught.value)


def test_a_number_that_is_none_is_said_once() -> None:
    with pytest.raises(Invalid) as caught:
        cluster(ttl="soon")
    assert caught.value.problems == ('postgres_ttl="soon": must be a number',)


def test_a_template_without_a_value_is_refused_with_its_variable() -> None:
    def template(value: Any) -> Any:
        if "{{" in str(value):
            raise AnsibleError("'nowhere' is undefined")
        return value

    given = {**variables(namespace="{{ nowhere }}"), "region": "{{ nowhere }}"}
    with pytest.raises(Invalid) as caught:
        evaluated(given, template)
    assert caught.value.problems == ("postgres_namespace: its template has no value: 'nowhere' is undefined",)
    assert evaluated(variables(port=5433), template) == variables(port=5433)


def test_a_host_whose_name_cannot_be_a_clusters_is_one_problem() -> None:
    with pytest.raises(Invalid) as caught:
        declare(variables(), "my_db")
    (said,) = caught.value.problems
    assert said.startswith('postgres_cluster_name="my_db": must be') and "inventory host's name" in said


def test_the_known_variables_are_listed_once() -> None:
    with pytest.raises(Invalid) as caught:
        cluster(one=1, two=2)
    assert str(caught.value).count("postgres_wait_timeout") == 1


def test_the_names_that_a_patch_may_have_are_those_of_the_templates() -> None:
    several = [{**INSTANCE, "replicas": 2}, {**INSTANCE, "name": "other"}]
    for declared in (cluster(), cluster(instances=several), cluster(cluster_name="else")):
        found: dict[str, set[str]] = {}
        for each in rendered(declared)[0]:
            found.setdefault(each["kind"], set()).add(each["metadata"]["name"])
        assert {kind: set(names) for kind, names in rendered_names(declared).items()} == found


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        declare({"postgres_port": 1}, "demo")
    assert {text.split("=")[0].split(":")[0] for text in caught.value.problems} == {
        "postgres_namespace",
        "postgres_image",
        "postgres_port",
    }


def test_numbers_may_come_as_text_from_the_command_line() -> None:
    declared = cluster(port="5433", ttl="20", wait="false")
    assert (declared["port"], declared["configuration"]["ttl"], declared["wait"]) == (5433, 20, False)


def test_users_absent_is_one_named_after_the_cluster_and_empty_is_none() -> None:
    (user,) = cluster()["users"]
    assert (user["name"], user["databases"], user["secret"]) == ("demo", ["demo"], "demo-pguser-demo")
    assert cluster(users=[])["users"] == []


def test_variables_of_others_are_left_alone() -> None:
    assert declare({**variables(), "ansible_port": 22, "region": "north"}, "demo")["name"] == "demo"


@pytest.mark.parametrize(
    ("ttl", "loop_wait", "retry_timeout", "fine"),
    [
        (10, 3, 3, True),
        (8, 3, 3, True),
        (7.9, 3, 3, False),
        (3, 0.5, 0.5, True),
        (30, 10, 10, True),
        (2, 0.5, 0.5, False),
    ],
)
def test_timing(ttl: float, loop_wait: float, retry_timeout: float, fine: bool) -> None:
    problem = timing_problem({"ttl": ttl, "loop_wait": loop_wait, "retry_timeout": retry_timeout})
    assert (problem is None) == fine


def test_the_role_says_the_same_defaults_and_variables() -> None:
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    del defaults["postgres_cluster_name"]
    assert defaults == dict(DEFAULTS)
    options = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert set(options) == set(KNOWN) - {"postgres_destroy", "postgres_purge", *INPUTS}
    assert {name: each["default"] for name, each in options.items() if "default" in each} == {
        name: value for name, value in DEFAULTS.items() if value is not None
    }


def test_the_roles_take_their_own_defaults() -> None:
    """Ansible checks a role's variables against its argument specs, the defaults too."""
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    for role in ("cluster", "pki"):
        text = (ROLE.parent / role / "meta" / "argument_specs.yml").read_text()
        options = yaml.safe_load(text)["argument_specs"]["main"]["options"]
        given = {name: value for name, value in defaults.items() if name in options}
        assert ArgumentSpecValidator(options).validate(given).error_messages == []


@pytest.mark.parametrize(
    ("text", "number"),
    [("1500m", 1.5), ("2", 2), ("1k", 1000), ("1Ki", 1024), ("1.5Gi", 1.5 * 2**30), ("3M", 3e6), ("1E", 1e18)],
)
def test_quantities(text: str, number: float) -> None:
    assert quantity(text) == number


def test_the_agent_refuses_the_same_timing() -> None:
    """Two programs know the inequality; an operator's edit reaches only the agent, an inventory only the play."""
    settings = pytest.importorskip("pgherd.model.settings")
    grid = itertools.product((2, 3, 4.9, 5, 7.9, 8, 10, 30, 86400, 86401), (0.4, 0.5, 3, 10), (0.4, 0.5, 3, 10))
    for ttl, loop_wait, retry_timeout in grid:
        timing = {"ttl": ttl, "loop_wait": loop_wait, "retry_timeout": retry_timeout}
        try:
            settings.read_configuration(json.dumps(timing))
        except settings.InvalidSetting:
            taken = False
        else:
            taken = True
        assert (timing_problem(timing) is None) == taken, timing


def test_whoever_only_looks_needs_no_image() -> None:
    assert declare(variables(image=""), "demo", image_needed=False)["image"] == ""
    with pytest.raises(Invalid, match="postgres_image"):
        declare(variables(image="a b"), "demo", image_needed=False)


def test_both_roles_describe_a_variable_alike() -> None:
    def options(role: str) -> dict[str, Any]:
        path = ROLE.parent / role / "meta" / "argument_specs.yml"
        found: dict[str, Any] = yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]
        return found

    known = options("cluster")
    for name, each in options("pki").items():
        if not name.startswith("postgres_"):
            continue  # the role's own
        described = {key: value for key, value in each.items() if key != "description"}
        assert described == {key: value for key, value in known[name].items() if key != "description"}, name


def test_roles_that_ask_for_something_say_what_they_read() -> None:
    known = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    inputs = set[str]()
    for role in ("configuration", "reinitialize", "restart", "switchover"):
        base = ROLE.parent / role
        options = yaml.safe_load((base / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"][
            "options"
        ]
        defaults = yaml.safe_load((base / "defaults" / "main.yml").read_text())
        own = set(options) - set(known)
        assert set(defaults) == {name for name in own if not options[name].get("required")}, role
        for name in own & set(defaults):
            assert options[name].get("default", "") == defaults[name], name
        for name in set(options) & set(known):
            assert options[name]["type"] == known[name]["type"], name
        inputs |= own
    assert inputs == set(INPUTS)


def test_the_agent_takes_declared_slots() -> None:
    """What the play lets through, the agent reads as it was meant."""
    settings = pytest.importorskip("pgherd.model.settings")
    logical = {"database": "app", "plugin": "pgoutput"}
    given = cluster(
        slots={"a": None, "b": {}, "c": {"type": "physical", "cluster_type": "standby"}, "d": logical},
        ignore_slots=[{"type": "logical", "plugin": "decoderbufs"}], pg_ident=["m ann demo"], use_slots=True,
    )["configuration"]  # fmt: skip
    read = settings.read_configuration(json.dumps(given))
    assert {name: slot.kind for name, slot in read.permanent.items()} == {
        "a": "physical", "b": "physical", "d": "logical",
    }  # fmt: skip
    assert read.ignore_slots[0].plugin == "decoderbufs" and read.postgresql.pg_ident == ("m ann demo",)
