"""Which container am I? An ID is believed only when it cannot be a predecessor's (proof 2)."""

from __future__ import annotations

from pathlib import Path

from pgherd.kubernetes.store import PodSeen
from pgherd.model.member import Pod
from pgherd.runtime.container import Container


def shown(container: str, started: float | None = 1000.0, last: str = "") -> PodSeen:
    return PodSeen(Pod("demo-0", "u1", container=container), started=started, last_ended=last)


def test_the_first_container_learns_its_id(tmp_path: Path) -> None:
    container = Container(tmp_path, "boot/1", 1001.0)
    assert container.id == ""
    assert container.learn(shown("c1"))
    assert container.id == "c1"
    assert not container.learn(shown("c1"))


def test_nothing_is_learned_from_a_status_without_a_running_container(tmp_path: Path) -> None:
    container = Container(tmp_path, "boot/1", 1001.0)
    assert not container.learn(shown(""))
    assert not container.learn(shown("c1", started=None))


def test_an_id_that_started_before_this_pid_1_is_a_predecessors(tmp_path: Path) -> None:
    assert not Container(tmp_path, "boot/1", 1003.0).learn(shown("c0", started=1000.0))


def test_a_restarted_agent_is_still_the_same_container(tmp_path: Path) -> None:
    first = Container(tmp_path, "boot/1", 1001.0)
    first.learn(shown("c1"))
    first.writing()
    again = Container(tmp_path, "boot/1", 1001.0)
    assert (again.id, again.wrote) == ("c1", True)


def test_a_late_status_never_gives_the_predecessors_id(tmp_path: Path) -> None:
    Container(tmp_path, "boot/1", 1001.0).learn(shown("c1"))
    second = Container(tmp_path, "boot/2", 1001.5)
    assert second.wrote is False
    assert not second.learn(shown("c1"))
    assert second.learn(shown("c2", started=1001.0, last="c1"))


def test_an_unrecorded_predecessor_voids_the_id_until_its_end_is_shown(tmp_path: Path) -> None:
    Container(tmp_path, "boot/1", 1000.0)
    second = Container(tmp_path, "boot/2", 1001.0)
    assert not second.learn(shown("c1"))  # might be the predecessor's
    assert second.learn(shown("c2", last="c1"))


def test_the_end_of_a_recorded_one_says_nothing_of_the_unrecorded(tmp_path: Path) -> None:
    Container(tmp_path, "boot/1", 1000.0).learn(shown("c1"))
    Container(tmp_path, "boot/2", 1001.0)
    third = Container(tmp_path, "boot/3", 1001.0)
    assert not third.learn(shown("c2", last="c1"))  # c2 may be the unrecorded one, shown late
    assert third.learn(shown("c3", last="c2"))


def test_two_unrecorded_predecessors_keep_it_uncertain(tmp_path: Path) -> None:
    Container(tmp_path, "boot/1", 1000.0)
    Container(tmp_path, "boot/2", 1000.0)
    assert not Container(tmp_path, "boot/3", 1001.0).learn(shown("c3", last="c2"))


def test_an_unreadable_record_keeps_it_uncertain(tmp_path: Path) -> None:
    (tmp_path / "containers").write_text("garbage")
    container = Container(tmp_path, "boot/1", 1001.0)
    assert not container.learn(shown("c1", last="c0"))
