"""An operator's change of the dynamic configuration: merged, checked, kept by the play, never half written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.pgherd.postgres.plugins.module_utils.client import MERGE_PATCH
from ansible_collections.pgherd.postgres.plugins.module_utils.converge import converge
from ansible_collections.pgherd.postgres.plugins.module_utils.dynamic import KNOWN
from ansible_collections.pgherd.postgres.plugins.modules import configuration

from .agents import call
from .memory import Memory
from .test_converge import CONFIG, wanted


def made() -> Memory:
    api = Memory()
    converge(api, wanted(), check=False)
    api.writes.clear()
    return api


def change(monkeypatch: pytest.MonkeyPatch, api: Memory, check: bool = False, **options: Any) -> dict[str, Any]:
    return call(monkeypatch, configuration, api, check, **{"cluster": "demo", **options})


def config(api: Memory) -> Any:
    return json.loads(api.objects[CONFIG]["metadata"]["annotations"]["config"])


def test_it_is_merged_once_and_foreseen(monkeypatch: pytest.MonkeyPatch) -> None:
    api = made()
    merge = {"ttl": 20, "postgresql": {"parameters": {"work_mem": "8MB"}}}
    planned = change(monkeypatch, api, check=True, merge=merge)
    assert not api.writes and planned["changed"]
    done = change(monkeypatch, api, merge=merge)
    assert (done["diff"], done["changes"]) == (planned["diff"], planned["changes"])
    assert done["changes"] == ["postgresql.parameters.work_mem", "ttl"] and "work_mem: 8MB" in done["diff"]["after"]
    assert config(api) == done["configuration"] and config(api)["loop_wait"] == 3
    again = change(monkeypatch, api, merge=merge)
    assert not again["changed"] and "diff" not in again and len(api.writes) == 1


def test_null_removes_and_without_a_change_it_only_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    api = made()
    change(monkeypatch, api, merge={"postgresql": {"parameters": {"work_mem": "8MB"}}})
    done = change(monkeypatch, api, merge={"postgresql": {"parameters": {"work_mem": None}}})
    assert done["changes"] == ["postgresql.parameters.work_mem"]
    assert "work_mem" not in config(api)["postgresql"]["parameters"]
    read = change(monkeypatch, api)
    assert not read["changed"] and read["configuration"] == config(api)


def test_the_play_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    api = made()
    change(monkeypatch, api, merge={"ttl": 20})
    assert not [each for each in converge(api, wanted(), check=False) if each.moved]
    assert config(api)["ttl"] == 20


def test_it_works_with_the_other_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Memory()
    converge(api, wanted(lock="endpointslice"), check=False)
    assert change(monkeypatch, api, merge={"ttl": 20})["changed"]


class Racing(Memory):
    """Somebody else writes between our read and our write, once."""

    raced = False

    def request(
        self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None, content: str = ""
    ) -> dict[str, Any]:
        if method == "PATCH" and content == MERGE_PATCH and not self.raced:
            self.raced = True
            theirs = {**config(self), "retry_timeout": 4}
            super().request(
                "PATCH", path, {"metadata": {"annotations": {"config": json.dumps(theirs)}}}, query, content
            )
        return super().request(method, path, body, query, content)


def test_what_others_write_meanwhile_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Racing()
    converge(api, wanted(), check=False)
    change(monkeypatch, api, merge={"ttl": 20})
    assert (config(api)["ttl"], config(api)["retry_timeout"]) == (20, 4)


@pytest.mark.parametrize(
    ("merge", "said"),
    [
        ({"tttl": 20}, "tttl=20: no such setting; did you mean ttl?"),
        ({"ttl": "long"}, 'ttl="long": must be a number of at least 0'),
        ({"ttl": 4}, "ttl=4: must be at least"),
        ({"pause": "yes"}, 'pause="yes": must be true or false'),
        ({"synchronous_mode": "sometimes"}, "synchronous_mode='sometimes': must be on, off or quorum"),
        ({"slots": ["a"]}, 'slots=["a"]: must be a dictionary'),
        ({"postgresql": {"parameters": {"port": 1}}}, "postgresql.parameters.port=1: pgherd sets this parameter"),
    ],
)
def test_what_no_agent_would_obey_is_refused(monkeypatch: pytest.MonkeyPatch, merge: dict[str, Any], said: str) -> None:
    for check in (True, False):
        api = made()
        result = change(monkeypatch, api, check, merge=merge)
        assert result["failed"] and said in result["msg"] and result["msg"].endswith("Nothing was changed.")
        assert not api.writes


def test_a_cluster_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    result = change(monkeypatch, Memory(), merge={"ttl": 20})
    assert result["failed"] and "there is no cluster demo in namespace databases" in result["msg"]


def test_the_agents_settings_are_known() -> None:
    settings = pytest.importorskip("pgherd.model.settings")
    assert set(settings.Configuration.__struct_fields__) <= set(KNOWN)
