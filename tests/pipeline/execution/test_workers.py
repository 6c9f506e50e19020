"""Workers that do not answer, on a Ray of which only the needed parts are played."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from wavemill.pipeline.execution.faults import WorkerUnavailable
from wavemill.pipeline.execution.pools import Pool, WorkerHandle
from wavemill.pipeline.execution.ray_worker import WorkerManager
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
def workers(pool: Pool) -> WorkerManager:
    return WorkerManager(PlayedRay(), [pool], lambda _: b"", ExecutionSettings(shard_attempts=3))


def answer_all(workers: WorkerManager) -> None:
    for reference in list(workers.starting):
        workers.receive_answer(reference)


def test_of_a_lost_machine_no_worker_gets_work(workers: WorkerManager, pool: Pool) -> None:
    lost = [WorkerHandle(actor("a", dead=True), pool, "a") for _ in range(8)]
    pool.idle = [*lost, WorkerHandle(actor("b"), pool, "b")]
    workers.recheck("a")
    assert [worker.node for worker in pool.idle] == ["b"]
    answer_all(workers)
    assert [worker.node for worker in pool.idle] == ["b"]
    assert not pool.starting
    assert all(worker.actor.killed for worker in lost)


def test_of_a_machine_that_lost_one_worker_the_others_go_on(
    workers: WorkerManager, pool: Pool
) -> None:
    pool.idle = [WorkerHandle(actor("a"), pool, "a") for _ in range(3)]
    workers.recheck("a")
    assert not pool.idle
    answer_all(workers)
    assert len(pool.idle) == 3


def test_workers_that_never_start_end_the_run(workers: WorkerManager, pool: Pool) -> None:
    for _ in range(3):
        workers._await_answer(WorkerHandle(actor("", dead=True), pool))
    with pytest.raises(WorkerUnavailable, match="do not start: the machine is gone"):
        answer_all(workers)
