"""The plan on Ray: a pool of supervised workers per group of stages, shard descriptors between.

Ray Core rather than Ray Data: nothing streams between stages (tables go through the store), and
what matters is to know which shard failed. A stage that crashes, hangs or fills the memory ends
only the child of its worker (`pipeline.execution.supervisor`). When a whole worker is lost, with
its machine say, its shard goes to another one. Ray restarts no actor and retries no task itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from wavemill.pipeline.execution.events import Event, ShardDone, ShardFailed, TaskDone, TaskStarted
from wavemill.pipeline.execution.faults import ClusterTooSmall, TaskFailed
from wavemill.pipeline.execution.pools import (
    Hand,
    Node,
    Pool,
    check_fit,
    largest,
    make_pools,
    set_targets,
)
from wavemill.pipeline.execution.ray_session import ray_session
from wavemill.pipeline.execution.ray_worker import Staff
from wavemill.pipeline.execution.settings import ExecutionSettings
from wavemill.pipeline.execution.supervisor import worker_job
from wavemill.pipeline.graph import Graph
from wavemill.pipeline.plan import Plan, ShardPlan
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import Task, TaskReport

LOOK_SECONDS = 2.0  # between two looks at the machines of the cluster
SHARDS_PER_WORKER = 3  # held as objects at a time; the rest of the plan waits in its tables


def run_on_ray(
    plan: Plan, make_graph: Callable[[], Graph], store: Store, settings: ExecutionSettings
) -> Iterator[Event]:
    """Run everything that the plan wants; yields what happens, as it happens.

    A shard keeps its worker while it stays in one group. Raises EngineUnavailable when an engine
    cannot load, RunStopped (DiskFull, WorkerUnavailable, ClusterTooSmall) when a person must mend
    something first, and ValueError when the groups do not fit the stages.
    """
    pools = make_pools(plan, settings)
    with ray_session(settings) as ray:
        staff = Staff(ray, pools, partial(worker_job, make_graph, store), settings)
        try:
            yield from _Loop(ray, plan.unfinished(), pools, staff, settings).run()
        finally:
            staff.close()


@dataclass(frozen=True)
class _Running:
    shard: ShardPlan
    task: Task
    hand: Hand


class _Loop:
    def __init__(
        self,
        ray: Any,
        source: Iterator[ShardPlan],
        pools: list[Pool],
        staff: Staff,
        settings: ExecutionSettings,
    ) -> None:
        self._ray, self._source, self._pools, self._staff = ray, source, pools, staff
        self._settings = settings
        self._running: dict[Any, _Running] = {}
        self._lost: dict[str, int] = {}  # shard -> workers that it has lost
        self._nodes: list[Node] = []
        self._roomy = True  # every pool can have a worker at once
        self._looked = 0.0
        self._begun = self._moved = time.monotonic()  # `_moved`: when something last went on

    def run(self) -> Iterator[Event]:
        self._look()
        if self._settings.address is None:  # this machine will not grow
            check_fit(self._pools, self._nodes)
        while True:
            self._pull()
            yield from self._dispatch()
            if not self._running and not any(pool.queue for pool in self._pools):
                return
            yield from self._wait()
            self._look()
            self._check_staffed()

    def _look(self) -> None:
        """Now and then, see which machines there are, and divide them among the pools."""
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            found = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            self._nodes = [Node(r.get("CPU", 0.0), r.get("GPU", 0.0)) for r in found]
        elif self._roomy:
            return
        self._roomy = set_targets(self._pools, self._nodes)

    def _check_staffed(self) -> None:
        """Raise ClusterTooSmall if no worker, or not as many as must be, has come for too long."""
        now, limit = time.monotonic(), self._settings.start_timeout_s
        if self._running:
            self._moved = now
        elif now - self._moved > limit:
            pool = next(pool for pool in self._pools if pool.queue)
            raise ClusterTooSmall(f"{pool.need}; none in {limit:g} s; {largest(self._nodes)}")
        for pool in self._pools:
            if not pool.is_staffed() and now - self._begun > limit:
                raise ClusterTooSmall(
                    f"{pool.need}; only {pool.here} of min_workers={pool.group.min_workers} "
                    f"came in {limit:g} s"
                )

    def _pull(self) -> None:
        """Take shards from the plan, a few per worker."""
        window = SHARDS_PER_WORKER * max(sum(pool.target for pool in self._pools), 1)
        held = len(self._running) + sum(len(pool.queue) for pool in self._pools)
        while held < window and (shard := next(self._source, None)) is not None:
            self._pool_of(shard).queue.append(shard)
            held += 1

    def _dispatch(self) -> Iterator[Event]:
        """Give waiting shards to idle workers, where the pool may keep them."""
        self._staff.adjust()
        for pool in self._pools:
            while pool.queue and pool.idle:
                yield self._submit(pool.queue.popleft(), pool.idle.pop())

    def _wait(self) -> Iterator[Event]:
        references = [*self._running, *self._staff.starting]
        if not references:
            time.sleep(LOOK_SECONDS)  # there is no room for any worker now
            return
        done, _ = self._ray.wait(references, num_returns=1, timeout=LOOK_SECONDS)
        for reference in done:
            self._moved = time.monotonic()
            if reference in self._running:
                yield from self._collect(self._running.pop(reference), reference)
            else:
                self._staff.greet(reference)

    def _submit(self, shard: ShardPlan, hand: Hand) -> Event:
        task = shard.next_task()
        assert task is not None
        hand.pool.busy.append(hand)
        self._running[hand.actor.run.remote(task)] = _Running(shard, task, hand)
        return TaskStarted(task.stage, task.shard_id)

    def _collect(self, running: _Running, reference: Any) -> Iterator[Event]:
        shard, hand = running.shard, running.hand
        hand.pool.busy.remove(hand)
        try:
            report = self._result(reference)
        except TaskFailed as error:
            hand.pool.idle.append(hand)
            yield ShardFailed(running.task.shard_id, running.task.stage, str(error))
            return
        except self._ray.exceptions.RayError as error:
            yield from self._after_loss(running, error)
            return
        shard.finish(report)
        yield TaskDone(report)
        pool = self._pool_of(shard) if shard.todo else None
        if pool is hand.pool and pool.size < pool.target:
            yield self._submit(shard, hand)
            return
        hand.pool.idle.append(hand)
        if pool is None:
            yield ShardDone(shard.shard.shard_id)
        else:
            pool.queue.append(shard)

    def _result(self, reference: Any) -> TaskReport:
        """Raises what the worker raised, and RayError when it or the way to it was lost."""
        try:
            report: TaskReport = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        return report

    def _after_loss(self, running: _Running, error: Exception) -> Iterator[Event]:
        """Give the shard to another worker, or it up; see whether others were lost with this."""
        shard_id, hand = running.task.shard_id, running.hand
        self._staff.kill(hand)
        self._staff.doubt(hand.node)
        self._looked = 0.0
        lost = self._lost[shard_id] = self._lost.get(shard_id, 0) + 1
        if lost < self._settings.shard_attempts:
            hand.pool.queue.appendleft(running.shard)
        else:
            message = f"{lost} workers were lost with it: {_first_line(error)}"
            yield ShardFailed(shard_id, running.task.stage, message)

    def _pool_of(self, shard: ShardPlan) -> Pool:
        return next(pool for pool in self._pools if shard.todo[0] in pool.stages)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
