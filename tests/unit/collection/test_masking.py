"""Secrets in the dynamic configuration: compared and written as they are, shown by nobody."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible.module_utils import basic
from ansible_collections.pgherd.postgres.plugins.action import declare as action
from ansible_collections.pgherd.postgres.plugins.module_utils.difference import masked
from ansible_collections.pgherd.postgres.plugins.module_utils.masking import hidden, hidden_since
from ansible_collections.pgherd.postgres.plugins.modules import configuration, resources
from ansible_collections.pgherd.postgres.plugins.plugin_utils.here import execute

from .agents import call
from .memory import Memory
from .rendering import cluster, rendered, variables
from .test_converge import CONFIG

LDAP = "hostssl all all all ldap ldapserver=ldap.example.org ldapbindpasswd={} ldapsuffix=x"
RULES = [LDAP.format("hunter2"), 'hostssl all all all radius radiusservers="a,b" radiussecrets="hunter2","hunter2"']


@pytest.mark.parametrize(
    "text",
    [
        "ldap ldapbindpasswd={} ldapsuffix=x",
        'ldap ldapbindpasswd="two {}" ldapsuffix=x',
        'ldap "ldapbindpasswd=two {}" ldapsuffix=x',
        'ldap ldapbindpasswd=a"two {}""more" ldapsuffix=x',
        'radius radiussecrets="{}","{}" radiusports=1',
        'radius radiussecrets="{}", "{}" radiusports=1',
        'radius radiussecrets="""{} one"",""{} two""" radiusports=1',
        'ldap "ldapbindpasswd=my""{} x" ldapsuffix=x',
        "host=h password={} user=u",
        "host=h password='it\\'s {}' user=u",
        "PGPASSWORD={} cp %f %p",
        "curl https://me:{}@example.org/%f -o %p",
        "postgresql://me:{0}@{0}@h/db?sslmode=require",
        "postgresql://h/db?password={}",
    ],
)
def test_no_secret_is_left_in_a_text_and_the_rest_is(text: str) -> None:
    shown = hidden(text.format("hunter2", "hunter2"))
    assert "hunter2" not in shown and "********" in shown
    for word in ("ldapsuffix=x", "radiusports=1", "user=u", "cp %f %p", "-o %p", "h/db"):
        assert (word in shown) == (word in text)


@pytest.mark.parametrize("value", ["host all all all password", "password_encryption=x", 5, None, True])
def test_what_is_no_secret_stays(value: Any) -> None:
    assert hidden({"work_mem": value, "password_encryption": "scram-sha-256"}) == {
        "work_mem": value,
        "password_encryption": "scram-sha-256",
    }


def test_a_parameter_that_is_a_secret_by_its_name() -> None:
    assert hidden({"vault.token": "hunter2", "vault.role": "app"}) == {"vault.token": "********", "vault.role": "app"}


def test_only_that_a_secret_is_another_one_is_said() -> None:
    before = {"pg_hba": ["local all all peer", LDAP.format("hunter1")], "my.token": "hunter1"}
    after = {"pg_hba": [LDAP.format("hunter2"), "host ldapbindpasswd=hunter2"], "my.token": "hunter2"}
    assert hidden_since(before, after) == {
        "pg_hba": [LDAP.format("******** (changed)"), "host ldapbindpasswd=********"],
        "my.token": "******** (changed)",
    }
    assert hidden_since(before, before) == hidden(before)


def shown_of(before: Any, after: Any, **more: str) -> str:
    def version(value: Any) -> dict[str, Any]:
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name in ("config", "config-applied")}
        return {"kind": "Endpoints", "metadata": {"annotations": {**texts, **more}}}

    return json.dumps(masked(version(before), version(after)))


def test_a_diff_of_the_object_shows_none() -> None:
    parts = {"postgresql": {"pg_hba": RULES}}
    shown = shown_of({}, parts, **{"kubectl.kubernetes.io/last-applied-configuration": json.dumps(parts)})
    assert "hunter2" not in shown and shown.count("ldapserver=ldap.example.org") == 2
    assert "hunter2" not in shown_of("no JSON ldapbindpasswd=hunter2", "password=hunter2")
    assert '{\\"ttl\\":10}' in shown_of('{"ttl":10}', '{"ttl":10}'), "what hides nothing is as it was"


def play(monkeypatch: pytest.MonkeyPatch, api: Memory, check: bool = False, **changes: Any) -> dict[str, Any]:
    declared = cluster(**changes)
    applied, once = rendered(declared)
    given = {"selector": declared["selector"], "owned": declared["owned"], "objects": applied, "create_once": once,
             "configuration": "demo-ha-config", "conflict": declared["conflict"]}  # fmt: skip
    return call(monkeypatch, resources, api, check, **given)


def test_a_diff_of_a_command_shows_none() -> None:
    def version(secret: str) -> dict[str, Any]:
        text = f"bootstrap_method:\n  command: PGPASSWORD={secret} fetch --into %d\n"
        return {"kind": "ConfigMap", "metadata": {"name": "demo-config"}, "data": {"pgherd.yaml": text}}

    before, after = masked(version("hunter2"), version("hunter3"))
    assert "hunter" not in str((before, after)) and "fetch --into %d" in str(after) and "(changed)" in str(after)
    assert masked(None, version("hunter2"))[1]["data"]["pgherd.yaml"].count("********") == 1


def test_a_module_in_a_process_of_its_own_logs_and_returns_none(monkeypatch: pytest.MonkeyPatch) -> None:
    logged = list[str]()
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda self, msg, log_args=None: logged.append(str(msg)))
    options = {"namespace": "databases", "cluster": "demo", "merge": {"postgresql": {"pg_hba": RULES}}}
    result = call(monkeypatch, configuration, Memory(), **options)
    assert result["failed"] and "hunter2" not in str(result) and "********" in str(result["invocation"])
    assert "hunter2" not in str(logged)


def test_the_play_shows_none_and_sees_every_change(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Memory()
    first = play(monkeypatch, api, pg_hba=RULES)
    others = [each.replace("hunter2", "hunter3") for each in RULES]
    foreseen = play(monkeypatch, api, check=True, pg_hba=others)
    second = play(monkeypatch, api, pg_hba=others)
    assert second["changed"] and json.loads(config(api))["postgresql"]["pg_hba"] == others
    assert "hunter" not in json.dumps([first, foreseen, second])
    (change,) = second["configuration"]
    assert change["key"] == "postgresql.pg_hba" and LDAP.format("********") in change["before"]
    assert LDAP.format("******** (changed)") in change["after"]
    assert not play(monkeypatch, api, pg_hba=others)["changed"]


def test_a_conflict_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Memory()
    play(monkeypatch, api, pg_hba=RULES)
    merge = {"postgresql": {"pg_hba": [LDAP.format("hunter3")]}}
    assert call(monkeypatch, configuration, api, cluster="demo", merge=merge)["changed"]
    refused = play(monkeypatch, api, pg_hba=[LDAP.format("hunter4")])
    assert refused["failed"] and "postgresql.pg_hba: was " in refused["msg"] and "hunter" not in refused["msg"]
    api.objects[CONFIG]["metadata"]["annotations"]["config"] = "ldapbindpasswd=hunter2"
    assert "it begins 'ldapbindpasswd=********'" in play(monkeypatch, api, pg_hba=RULES)["msg"]


def config(api: Memory) -> str:
    return str(api.objects[CONFIG]["metadata"]["annotations"]["config"])


@pytest.mark.parametrize("check", [True, False])
def test_an_operators_change_shows_none(monkeypatch: pytest.MonkeyPatch, check: bool) -> None:
    api = Memory()
    play(monkeypatch, api)
    merge = {"postgresql": {"pg_hba": RULES, "parameters": {"restore_command": "PGPASSWORD=hunter2 get %f %p"}}}
    done = call(monkeypatch, configuration, api, check, cluster="demo", merge=merge)
    assert done["changed"] and ("hunter2" in config(api)) != check
    assert done["configuration"]["postgresql"]["pg_hba"][0] == LDAP.format("********")
    assert done["invocation"]["module_args"]["cluster"] == "demo" and "hunter2" not in json.dumps(done)
    assert LDAP.format("********") in done["diff"]["after"].replace("\n      ", " ")
    refused = call(monkeypatch, configuration, api, check, cluster="demo", merge={**merge, "pg_hba": RULES[1:]})
    assert refused["failed"] and "hunter2" not in json.dumps(refused)


def declared_by_the_action(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, Any]:
    made: Any = object.__new__(action.ActionModule)
    made._templar = SimpleNamespace(template=lambda value: value)
    made._loader = SimpleNamespace(get_basedir=lambda: ".")
    made.validate_argument_spec = lambda _: (None, {"image_needed": True})
    monkeypatch.setattr(action.ActionBase, "run", lambda *_: {})
    return dict(made.run(None, {**variables(**changes), "inventory_hostname": "demo"}))


def test_a_declaration_with_secrets_is_not_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for verbose output, or keeps every result as AWX does, sees this one censored."""
    found = declared_by_the_action(monkeypatch, pg_hba=RULES)
    assert found["_ansible_no_log"] and found["cluster"]["configuration"]["postgresql"]["pg_hba"] == RULES
    assert "_ansible_no_log" not in declared_by_the_action(monkeypatch, pg_hba=["local all all peer"])
    method = {"name": "fetched", "command": "/fetch PGPASSWORD=hunter2"}
    assert declared_by_the_action(monkeypatch, bootstrap_method=method)["_ansible_no_log"]
    refused = declared_by_the_action(monkeypatch, pg_hba=["radiussecrets=hunter2\n"])
    assert refused["failed"] and "_ansible_no_log" not in refused and "hunter2" not in refused["msg"]


def test_what_a_module_elsewhere_was_called_with_shows_none() -> None:
    def elsewhere(**given: Any) -> dict[str, Any]:
        return {"changed": True, "invocation": {"module_args": given["module_args"]}}

    task = SimpleNamespace(async_val=0, delegate_to=None, check_mode=False, diff=False)
    made = SimpleNamespace(
        _execute_module=elsewhere, _task=task, _connection=SimpleNamespace(transport="ssh", has_native_async=False)
    )
    _, once = rendered(cluster(pg_hba=RULES))
    found = execute(cast(Any, made), resources, {"namespace": "databases", "create_once": once}, {})
    assert found["invocation"]["module_args"]["namespace"] == "databases" and "hunter2" not in json.dumps(found)
