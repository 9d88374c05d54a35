"""Whom the others' words are asked of, and whose words they stay."""

from __future__ import annotations

from pathlib import Path

from tests.unit.decide.views import status
from tests.unit.runtime.stand_ins import Bench

from pgherd.kubernetes.store import PodSeen
from pgherd.model.member import Pod
from pgherd.rest.client import Heard
from pgherd.runtime.peers import Peers


async def test_a_deleted_pod_does_not_take_the_words_of_the_one_that_came_after_it(tmp_path: Path) -> None:
    """It is remembered for its death, under the same name: a vote must not be asked for again at each poll."""
    bench, asked = Bench(tmp_path), list[str]()
    gone = Pod("demo-1", "old", address=None, terminating=True)
    there, starting = Pod("demo-1", "new", address="10.0.0.2"), Pod("demo-2", "u2", address=None)
    bench.state.saw_pods(tuple(PodSeen(pod) for pod in (there, gone, starting)))

    async def ask(pods: tuple[Pod, ...], heard: Heard) -> None:
        asked.extend(pod.uid for pod in pods)
        for pod in pods:
            words.append([(peer.pod.uid, peer.asked) for peer in bench.state.peers()])
            heard(pod, status(pod.member, uid=pod.uid))

    words: list[list[tuple[str, float]]] = []
    peers = Peers(bench.state, ask, bench.clock)
    for _ in range(2):
        await peers.poll()
    assert asked == ["new", "new"]
    assert words == [[("new", 0.0), ("u2", 1000.0)], [("new", 1000.0), ("u2", 1000.0)]]
    assert [peer.status is not None for peer in bench.state.peers()] == [True, False]
