"""Running a plan on Ray: each group of stages has a pool of supervised workers.

Workers get shard descriptors and exchange tables through the store. This uses Ray Core and not Ray
Data, since nothing streams between stages and it must be known which shard failed. A stage that
crashes, hangs or fills the memory ends only the child process of its worker (see
`wavemill.pipeline.execution.supervisor`). If a whole worker is lost, for example with its machine,
its shard goes to another worker. Ray itself restarts no actor and retries no task.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from wavemill.pipeline.dividing import divider
from wavemill.pipeline.execution.events import (
    Event,
    Progress,
    ShardDone,
    ShardFailed,
    TaskDone,
    TaskStarted,
)
from wavemill.pipeline.execution.faults import ClusterTooSmall, TaskFailed
from wavemill.pipeline.execution.pools import (
    Node,
    Pool,
    WorkerHandle,
    check_groups_fit,
    describe_largest,
    make_pools,
    set_targets,
)
from wavemill.pipeline.execution.ray_session import ray_session
from wavemill.pipeline.execution.ray_worker import WATCHING, WorkerManager
from wavemill.pipeline.execution.settings import ExecutionSettings
from wavemill.pipeline.execution.shard_run import ShardRun
from wavemill.pipeline.execution.supervisor import worker_job
from wavemill.pipeline.graph import ConfiguredStage, Graph
from wavemill.pipeline.piece import Piece
from wavemill.pipeline.plan import Plan
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import PieceResult, Task, TaskResult

POLL_SECONDS = 2.0  # between two queries for the machines of the cluster
SHARDS_PER_WORKER = 3  # in memory at a time; all others stay in the tables of the plan
# With more shards than this for each worker, none will idle for long, and long recordings are not
# divided: it costs this process a look into their tables.
ENOUGH_SHARDS = 32


def run_on_ray(
    plan: Plan, make_graph: Callable[[], Graph], store: Store, settings: ExecutionSettings
) -> Iterator[Event]:
    """Run all tasks of the plan; yield events as they happen.

    A shard keeps its worker while it stays in one group; workers that would idle take other
    stages of it, and pieces of its long recordings. Raises EngineUnavailable when an engine
    cannot load, RunStopped (DiskFull, WorkerUnavailable, ClusterTooSmall) when a person must fix
    something first, and ValueError when the groups do not fit the stages.
    """
    pools = make_pools(plan, settings)
    with ray_session(settings) as ray:
        workers = WorkerManager(ray, pools, partial(worker_job, make_graph, store), settings)
        try:
            yield from _Scheduler(ray, plan, pools, workers, store, settings).run()
        finally:
            workers.close()


@dataclass(frozen=True)
class _Running:
    shard: ShardRun
    task: Task
    worker: WorkerHandle


class _Scheduler:
    """Gives shards to workers until no shard is left."""

    def __init__(
        self,
        ray: Any,
        plan: Plan,
        pools: list[Pool],
        workers: WorkerManager,
        store: Store,
        settings: ExecutionSettings,
    ) -> None:
        self._ray, self._pools, self._workers = ray, pools, workers
        self._settings = settings
        self._source, self._left = plan.unfinished(), plan.pending
        self._held = 0  # shards that were taken from the plan and are not finished
        self._divider = divider(store, settings.piece_seconds)
        self._running: dict[Any, _Running] = {}
        self._asked: dict[Any, _Running] = {}  # how far they are
        self._asked_at = 0.0
        self._told: dict[tuple[str, str], int] = {}  # stage and shard -> ms of Progress
        self._losses: dict[str, int] = {}  # shard -> workers that were lost with it
        self._nodes: list[Node] = []
        self._all_fit = True  # every pool can have a worker at once
        self._polled = 0.0  # when the machines were last asked for
        self._started = self._last_progress = time.monotonic()

    def run(self) -> Iterator[Event]:
        self._update_targets()
        if self._settings.address is None:  # this machine will not grow
            check_groups_fit(self._pools, self._nodes)
        while True:
            self._fill_queues()
            yield from self._dispatch()
            if not self._running and not any(pool.queue for pool in self._pools):
                return
            self._ask_for_progress()
            yield from self._wait()
            self._update_targets()
            self._check_workers()

    def _update_targets(self) -> None:
        """Every POLL_SECONDS, ask for the machines and divide them among the pools."""
        now = time.monotonic()
        if now - self._polled >= POLL_SECONDS:
            self._polled = now
            found = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            self._nodes = [Node(r.get("CPU", 0.0), r.get("GPU", 0.0)) for r in found]
        elif self._all_fit:
            return
        self._all_fit = set_targets(self._pools, self._nodes)

    def _check_workers(self) -> None:
        """Raise ClusterTooSmall if there was no worker, or too few, for `start_timeout_s`."""
        now, limit = time.monotonic(), self._settings.start_timeout_s
        if self._running:
            self._last_progress = now
        elif now - self._last_progress > limit:
            pool = next(pool for pool in self._pools if pool.queue)
            raise ClusterTooSmall(
                f"{pool.requirement}; none in {limit:g} s; {describe_largest(self._nodes)}"
            )
        for pool in self._pools:
            if not pool.reached_min_workers() and now - self._started > limit:
                raise ClusterTooSmall(
                    f"{pool.requirement}; only {pool.ready} of "
                    f"min_workers={pool.group.min_workers} came in {limit:g} s"
                )

    def _fill_queues(self) -> None:
        """Take shards from the plan, a few per worker."""
        window = SHARDS_PER_WORKER * self._workers_wanted
        while self._held < window and (shard := next(self._source, None)) is not None:
            self._held += 1
            self._enqueue(ShardRun(shard, self._divide))

    @property
    def _workers_wanted(self) -> int:
        return max(sum(pool.target for pool in self._pools), 1)

    def _divide(self, task: Task, stage: ConfiguredStage) -> tuple[Piece, ...]:
        return () if self._has_enough else self._divider(task, stage)

    @property
    def _has_enough(self) -> bool:
        return self._left > ENOUGH_SHARDS * self._workers_wanted

    def _enqueue(self, shard: ShardRun) -> None:
        """Have a shard wait for as many workers as it has tasks."""
        stages = shard.stages()
        for pool in self._pools:
            tasks = sum(stage in pool.stages for stage in stages)
            pool.queue.extend([shard] * (tasks - pool.queue.count(shard)))

    def _dispatch(self) -> Iterator[Event]:
        """Start and end workers, then give waiting shards to idle ones."""
        self._workers.adjust()
        for pool in self._pools:
            while pool.queue and pool.idle:
                yield from self._submit(pool.queue.popleft(), pool.idle.pop())

    def _wait(self) -> Iterator[Event]:
        """Wait for a result or for the answer of a new worker, POLL_SECONDS at most."""
        references = [*self._running, *self._workers.starting, *self._asked]
        if not references:
            time.sleep(POLL_SECONDS)  # there is no room for any worker now
            return
        done, _ = self._ray.wait(references, num_returns=1, timeout=POLL_SECONDS)
        for reference in done:
            if reference in self._asked:
                yield from self._tell(self._asked.pop(reference), reference)
                continue
            self._last_progress = time.monotonic()
            if reference in self._running:
                yield from self._collect(self._running.pop(reference), reference)
            else:
                self._workers.receive_answer(reference)

    def _ask_for_progress(self) -> None:
        """Every POLL_SECONDS, ask how far those are that have long recordings."""
        now = time.monotonic()
        if now - self._asked_at < POLL_SECONDS or self._asked or self._has_enough:
            return
        self._asked_at = now
        least_ms = 2000 * self._settings.piece_seconds
        for running in self._running.values():
            task = running.task
            whole = task.piece is None and not task.pieces
            if whole and any(r.duration_ms >= least_ms for r in task.recordings):
                method = running.worker.actor.done_ms.options(concurrency_group=WATCHING)
                self._asked[method.remote()] = running

    def _tell(self, running: _Running, reference: Any) -> Iterator[Event]:
        try:
            done_ms = self._ray.get(reference)
        except self._ray.exceptions.RayError:  # its task will say so, too
            return
        key = running.task.stage, running.task.shard_id
        more = done_ms - self._told.get(key, 0)
        if more > 0 and running in self._running.values():
            self._told[key] = done_ms
            yield Progress(*key, more)

    def _submit(self, shard: ShardRun, worker: WorkerHandle) -> Iterator[Event]:
        task = shard.take(worker.pool.stages)
        assert task is not None
        worker.pool.busy.append(worker)
        self._running[worker.actor.run.remote(task)] = _Running(shard, task, worker)
        if not task.pieces:
            yield TaskStarted(task.stage, task.shard_id)

    def _collect(self, running: _Running, reference: Any) -> Iterator[Event]:
        shard, worker = running.shard, running.worker
        worker.pool.busy.remove(worker)
        try:
            result = self._result(reference)
        except TaskFailed as error:
            worker.pool.idle.append(worker)
            yield from self._give_up(running, str(error))
            return
        except self._ray.exceptions.RayError as error:
            yield from self._after_loss(running, error)
            return
        shard.finish(running.task, result)
        if isinstance(result, PieceResult):
            yield Progress(result.stage, result.shard_id, result.audio_ms)
        else:
            self._told.pop((result.stage, result.shard_id), None)
            yield TaskDone(result)
        self._enqueue(shard)
        pool = worker.pool
        if shard in pool.queue and pool.size < pool.target:
            pool.queue.remove(shard)
            yield from self._submit(shard, worker)
            return
        pool.idle.append(worker)
        yield from self._end_of(shard)

    def _end_of(self, shard: ShardRun) -> Iterator[Event]:
        """Forget a shard that is finished, in whatever way."""
        if shard.finished:
            self._held -= 1
            self._left -= 1
            if not shard.failed:
                yield ShardDone(shard.shard_id)

    def _give_up(self, running: _Running, message: str) -> Iterator[Event]:
        """Give a shard up, but for those of its tasks that are being worked on."""
        shard, told = running.shard, running.shard.failed
        shard.drop()
        for pool in self._pools:
            pool.queue = deque(waiting for waiting in pool.queue if waiting is not shard)
        if not told:
            yield ShardFailed(shard.shard_id, running.task.stage, message)
        yield from self._end_of(shard)

    def _result(self, reference: Any) -> TaskResult:
        """Return a result. Raises what the worker raised, and RayError if the worker was lost."""
        try:
            result: TaskResult = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        return result

    def _after_loss(self, running: _Running, error: Exception) -> Iterator[Event]:
        """Give the shard to another worker, or give it up after `shard_attempts` lost workers."""
        shard, worker = running.shard, running.worker
        shard_id = shard.shard_id
        self._workers.kill(worker)
        self._workers.recheck(worker.node)
        self._polled = 0.0
        lost = self._losses[shard_id] = self._losses.get(shard_id, 0) + 1
        if shard.failed or lost >= self._settings.shard_attempts:
            message = f"{lost} workers were lost with it: {_first_line(error)}"
            yield from self._give_up(running, message)
        else:
            shard.give_back(running.task)
            worker.pool.queue.appendleft(shard)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
