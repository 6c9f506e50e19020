"""Workers that do not answer, on a Ray of which only the needed parts are played."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from wavemill.pipeline.execution.faults import WorkerUnavailable
from wavemill.pipeline.execution.pools import Hand, Pool
from wavemill.pipeline.execution.ray_worker import Staff
from wavemill.pipeline.execution.settings import ExecutionSettings, GroupSettings


class Lost(Exception):
    pass


class PlayedRay:
    """Actors are lists of what they answer; an answer is asked for when it is fetched."""

    exceptions = SimpleNamespace(RayError=Lost)

    def remote(self, **_: object) -> Any:
        return lambda _: None

    def get(self, reference: Any) -> str:
        return str(reference())

    def kill(self, actor: Any) -> None:
        actor.killed = True


def actor(node: str, dead: bool = False) -> Any:
    def answer() -> str:
        if dead:
            raise Lost("the machine is gone")
        return node

    return SimpleNamespace(node=SimpleNamespace(remote=lambda: lambda: answer()), killed=False)


@pytest.fixture
def pool() -> Pool:
    return Pool("all", ("draw",), GroupSettings(), 100)


@pytest.fixture
def staff(pool: Pool) -> Staff:
    return Staff(PlayedRay(), [pool], lambda _: b"", ExecutionSettings(shard_attempts=3))


def answer_all(staff: Staff) -> None:
    for reference in list(staff.starting):
        staff.greet(reference)


def test_of_a_lost_machine_no_worker_gets_work(staff: Staff, pool: Pool) -> None:
    lost = [Hand(actor("a", dead=True), pool, "a") for _ in range(8)]
    pool.idle = [*lost, Hand(actor("b"), pool, "b")]
    staff.doubt("a")
    assert [hand.node for hand in pool.idle] == ["b"]
    answer_all(staff)
    assert [hand.node for hand in pool.idle] == ["b"]
    assert not pool.starting
    assert all(hand.actor.killed for hand in lost)


def test_of_a_machine_that_lost_one_worker_the_others_go_on(staff: Staff, pool: Pool) -> None:
    pool.idle = [Hand(actor("a"), pool, "a") for _ in range(3)]
    staff.doubt("a")
    assert not pool.idle
    answer_all(staff)
    assert len(pool.idle) == 3


def test_workers_that_never_start_end_the_run(staff: Staff, pool: Pool) -> None:
    for _ in range(3):
        staff._expect(Hand(actor("", dead=True), pool))
    with pytest.raises(WorkerUnavailable, match="do not start: the machine is gone"):
        answer_all(staff)
