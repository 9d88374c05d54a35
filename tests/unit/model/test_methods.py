"""Methods that make data: what Patroni's shape means here, and what is refused by field, value and what is allowed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pgherd.model.methods import BASEBACKUP, HALF_A_DAY, INITDB, Method
from pgherd.model.settings import InvalidSetting, read_configuration, read_settings

COPY = {"command": "/bin/copy -v", "keep_data": True, "rate": 5, "verbose": True}


def methods(**postgresql: Any) -> tuple[Method, ...]:
    return read_configuration(json.dumps({"postgresql": postgresql})).clone_methods


def bootstrap(**section: Any) -> Method:
    settings = {
        "cluster": "demo",
        "members": ["a"],
        "postgres": {"version": 17, "bin_directory": "/", "data_directory": "/", "state_directory": "/"},
        "bootstrap": section,
    }
    return read_settings(json.dumps(settings)).bootstrap_method


def test_without_a_word_it_is_pg_basebackup_and_initdb() -> None:
    assert methods() == read_configuration(None).clone_methods == (BASEBACKUP,)
    assert bootstrap() == bootstrap(method="initdb") == INITDB


def test_the_list_gives_the_order_and_other_keys_are_arguments() -> None:
    found = methods(create_replica_methods=["copy", "basebackup"], copy=COPY, unused={"command": "no path"})
    copy = Method("copy", "/bin/copy -v", True, False, HALF_A_DAY, (("rate", "5"), ("verbose", "true")))
    assert found == (copy, BASEBACKUP)
    off = {"command": "/x", "no_leader": False, "recovery_conf": {}, "keep_existing_recovery_conf": False}
    assert bootstrap(method="copy", copy={**off, "time_limit": 9}) == Method("copy", "/x", time_limit=9)


def test_a_key_of_the_programs_own_name_is_not_read_into_the_configuration() -> None:
    assert read_configuration(json.dumps({"clone_methods": 5})).clone_methods == (BASEBACKUP,)


@pytest.mark.parametrize(
    ("names", "section", "text"),
    [
        ([], {}, r"create_replica_methods=\[\]: must be a list of names"),
        ("basebackup", {}, "must be a list of names"),
        (["basebackup", "basebackup"], {}, "can be there once"),
        (["parameters"], {}, "'parameters' must be a name of a-z"),
        (["Copy"], {}, "'Copy' must be a name of a-z"),
        (["other"], {}, "postgresql.other: is missing"),
        (["copy"], {"command": "copy"}, "postgresql.copy.command='copy': must begin with the absolute path"),
        (["copy"], {"command": "/copy 'x"}, "is no command line"),
        (["copy"], {}, "postgresql.copy.command=None: must begin with the absolute path"),
        (["copy"], {"command": "/x", "keep_data": "yes"}, "postgresql.copy.keep_data='yes': must be true or false"),
        (["copy"], {"command": "/x", "no_leader": True}, "postgresql.copy.no_leader=True: must be false"),
        (["copy"], {"command": "/x", "time_limit": 0}, "time_limit=0: must be a number of seconds from 1 to"),
        (["copy"], {"command": "/x", "db_password": "very"}, "postgresql.copy.db_password: would be seen in the proc"),
        (["copy"], {"command": "/x", "a b": 1}, "postgresql.copy.a b=1: must be a text"),
        (["copy"], {"command": "/x", "list": [1]}, r"postgresql.copy.list=\[1\]: must be a text"),
    ],
)
def test_a_clone_method_that_cannot_work_is_refused(names: Any, section: Any, text: str) -> None:
    with pytest.raises(InvalidSetting, match=text) as refused:
        methods(create_replica_methods=names, copy=section)
    assert "very" not in str(refused.value)


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({"method": 5}, "bootstrap.method=5: must be a name"),
        ({"method": "copy"}, "bootstrap.copy: is missing"),
        ({"method": "copy", "copy": {"command": "/x", "keep_data": True}}, "a new cluster begins in an empty volume"),
        ({"method": "copy", "copy": {"command": "/x", "recovery_conf": {"a": 1}}}, "bootstrap.copy.recovery_conf="),
        ({"method": "copy", "copy": {"command": "/x", "keep_existing_recovery_conf": True}}, "must be false: recovery"),
    ],
)
def test_a_bootstrap_method_that_cannot_work_is_refused(section: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidSetting, match=text):
        bootstrap(**section)
