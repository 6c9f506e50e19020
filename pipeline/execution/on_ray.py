"""The plan on Ray: a pool of actors per group of stages, shard descriptors travelling between.

Ray Core rather than Ray Data: nothing streams between stages (tables go through the store), and
what matters is to know which shard failed. Actors are not restarted by Ray and tasks not retried
by it; this loop does both, so that a worker's death is charged to the shard that it worked on.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipeline.execution.events import Event, ShardDone, ShardFailed, TaskDone, TaskStarted
from pipeline.execution.settings import ExecutionSettings, resolve_groups
from pipeline.execution.worker import Worker
from pipeline.graph import Graph
from pipeline.plan import Plan, ShardPlan
from pipeline.store import Store
from pipeline.task import Task

OBJECT_STORE_BYTES = 80 << 20  # descriptors only; Ray's default would take a third of memory


@contextmanager
def ray_session(settings: ExecutionSettings) -> Iterator[Any]:
    """Start Ray on this machine (or connect to `address`), and shut down what was started."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # newer Ray's behaviour
    import ray

    if ray.is_initialized():
        yield ray
        return
    local: dict[str, Any] = {
        "num_cpus": settings.workers or os.cpu_count(),
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
    }
    ray.init(
        address=settings.address or "local",
        logging_level=logging.ERROR,
        log_to_driver=False,
        **({} if settings.address else local),
    )
    try:
        yield ray
    finally:
        ray.shutdown()


@dataclass
class _Pool:
    """The workers of one group, and the shards that wait for one."""

    stages: list[str]
    options: dict[str, Any]
    device: str
    size: int
    idle: list[Any] = field(default_factory=list)
    started: int = 0
    queue: deque[ShardPlan] = field(default_factory=deque)


@dataclass
class _Running:
    shard: ShardPlan
    task: Task
    group: str
    actor: Any


def run_on_ray(
    plan: Plan, make_graph: Callable[[], Graph], store: Store, settings: ExecutionSettings
) -> Iterator[Event]:
    """Run everything that the plan wants; yields what happens, as it happens.

    A shard keeps its worker while it stays in one group. Raises EngineUnavailable when an
    engine cannot load, and ValueError when the groups do not fit the stages or the cluster.
    """
    with ray_session(settings) as ray:
        yield from _Loop(ray, plan, make_graph, store, settings).run()


class _Loop:
    def __init__(
        self,
        ray: Any,
        plan: Plan,
        make_graph: Callable[[], Graph],
        store: Store,
        settings: ExecutionSettings,
    ) -> None:
        self._ray, self._make_graph, self._store = ray, make_graph, store
        self._actor_class = ray.remote(Worker)
        self._pools = _make_pools(ray.cluster_resources(), plan, settings)
        self._running: dict[Any, _Running] = {}
        self._attempts_left: dict[str, int] = {}
        self._attempts = settings.attempts
        for shard in plan.unfinished:
            self._enqueue(shard)

    def run(self) -> Iterator[Event]:
        yield from self._dispatch()
        while self._running:
            done, _ = self._ray.wait(list(self._running), num_returns=1)
            for reference in done:
                yield from self._collect(reference)
            yield from self._dispatch()

    def _enqueue(self, shard: ShardPlan) -> None:
        self._pools[self._group_of(shard.todo[0])].queue.append(shard)

    def _group_of(self, stage: str) -> str:
        return next(name for name, pool in self._pools.items() if stage in pool.stages)

    def _dispatch(self) -> Iterator[Event]:
        """Give waiting shards to idle workers; start workers while the pool has room."""
        for name, pool in self._pools.items():
            while pool.queue:
                if not pool.idle and pool.started < pool.size:
                    pool.idle.append(self._start_worker(pool))
                if not pool.idle:
                    break
                yield self._submit(pool.queue.popleft(), name, pool.idle.pop())

    def _start_worker(self, pool: _Pool) -> Any:
        pool.started += 1
        actor = self._actor_class.options(max_restarts=0, max_task_retries=0, **pool.options)
        return actor.remote(self._make_graph, self._store, pool.device)

    def _submit(self, shard: ShardPlan, group: str, actor: Any) -> Event:
        task = shard.next_task()
        assert task is not None
        self._running[actor.run.remote(task)] = _Running(shard, task, group, actor)
        return TaskStarted(task.stage, task.shard_id)

    def _collect(self, reference: Any) -> Iterator[Event]:
        running = self._running.pop(reference)
        pool = self._pools[running.group]
        try:
            report = self._ray.get(reference)
        except self._ray.exceptions.RayActorError as error:
            pool.started -= 1
            yield from self._after_death(running, error)
            return
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        running.shard.finish(report)
        yield TaskDone(report)
        if not running.shard.todo:
            pool.idle.append(running.actor)
            yield ShardDone(running.shard.shard.shard_id)
        elif self._group_of(running.shard.todo[0]) == running.group:
            yield self._submit(running.shard, running.group, running.actor)
        else:
            pool.idle.append(running.actor)
            self._enqueue(running.shard)

    def _after_death(self, running: _Running, error: Exception) -> Iterator[Event]:
        """Try the shard again on a new worker, or give it up and go on with the others."""
        shard_id = running.task.shard_id
        left = self._attempts_left.get(shard_id, self._attempts) - 1
        self._attempts_left[shard_id] = left
        if left > 0:
            self._enqueue(running.shard)
        else:
            first_line = str(error).strip().splitlines()[0]
            yield ShardFailed(shard_id, running.task.stage, f"its worker died: {first_line}")


def _make_pools(
    resources: dict[str, float], plan: Plan, settings: ExecutionSettings
) -> dict[str, _Pool]:
    """Size each group's pool from the cluster, so that all of them can start together."""
    groups = resolve_groups(settings, list(plan.graph.stages))
    cpus, shards = resources.get("CPU", 1.0), len(plan.unfinished)
    needed = sum(settings.groups[name].num_cpus for name in groups)
    if needed > cpus:
        raise ValueError(
            f"execution.groups: one worker of each group needs {needed:g} CPUs, the cluster has "
            f"{cpus:g}; lower num_cpus or join groups"
        )
    pools = {}
    for name, stages in groups.items():
        group = settings.groups[name]
        share = group.num_cpus / needed * cpus
        room = int(share / group.num_cpus)
        if group.num_gpus:
            room = min(room, int(resources.get("GPU", 0.0) / group.num_gpus))
            if room == 0:
                raise ValueError(f"execution.groups.{name} needs a GPU; the cluster has none free")
        size = min(group.workers or settings.workers or room, room, max(shards, 1))
        pools[name] = _Pool(
            stages=stages,
            options={"num_cpus": group.num_cpus, "num_gpus": group.num_gpus},
            device="cuda" if group.num_gpus else "cpu",
            size=max(size, 1),
        )
    return pools
