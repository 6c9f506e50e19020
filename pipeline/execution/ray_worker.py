"""Workers as Ray actors: the actor, and what starts and ends all actors of a run."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from wavemill.pipeline.execution.faults import WorkerUnavailable
from wavemill.pipeline.execution.limits import Limits
from wavemill.pipeline.execution.pools import Pool, WorkerHandle
from wavemill.pipeline.execution.settings import ExecutionSettings, limits_of
from wavemill.pipeline.execution.supervisor import Supervisor
from wavemill.pipeline.task import Task, TaskResult

WATCHING = "watching"  # concurrency group, with a thread of its own


class RayWorker:
    """The actor: runs a supervisor on a machine of the cluster."""

    def __init__(self, job: bytes, limits: Limits, num_cpus: float, num_gpus: float) -> None:
        ray: Any = importlib.import_module("ray")
        self._node = ray.get_runtime_context().get_node_id()
        machine = next(n["Resources"] for n in ray.nodes() if n["NodeID"] == self._node)
        cpus, gpus = machine.get("CPU", 0.0), machine.get("GPU", 0.0)
        share = max(num_cpus / cpus if cpus else 1.0, num_gpus / gpus if gpus else 0.0)
        self._supervisor = Supervisor(job, limits.on_this_machine(share))

    def node(self) -> str:
        """Return the id of its machine: its first answer, which says that it has started."""
        return str(self._node)

    def run(self, task: Task) -> TaskResult:
        """Run a task. Raises what `Supervisor.run` raises."""
        return self._supervisor.run(task)

    def done_ms(self) -> int:
        """Return how much audio of the task that runs is done, while it runs (see WATCHING)."""
        return self._supervisor.done_ms


class WorkerManager:
    """Starts and ends the workers of all pools."""

    def __init__(
        self,
        ray: Any,
        pools: Sequence[Pool],
        make_job: Callable[[str], bytes],
        settings: ExecutionSettings,
    ) -> None:
        """`make_job` returns, for a device ("cpu" or "cuda"), what `Supervisor` is made from."""
        self._ray, self._pools, self._make_job, self._settings = ray, pools, make_job, settings
        self._actor_class = ray.remote(
            max_restarts=0, max_task_retries=0, concurrency_groups={WATCHING: 1}
        )(RayWorker)
        self._failed_starts = 0
        self.starting: dict[Any, WorkerHandle] = {}  # reference to the answer -> worker

    def adjust(self) -> None:
        """End workers that are more than the targets of their pools, and start missing ones."""
        for pool in self._pools:
            while pool.size > pool.target and (pool.idle or pool.starting):
                self._end((pool.starting or pool.idle).pop())
        for pool in self._pools:
            for _ in range(pool.missing):
                self._start(pool)

    def receive_answer(self, reference: Any) -> None:
        """Make the worker that has answered idle, or end it if it failed.

        Raises WorkerUnavailable after `shard_attempts` failed starts in a row, if none is ready.
        """
        worker = self.starting.pop(reference)
        worker.pool.starting.remove(worker)
        try:
            worker.node = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self.kill(worker)
            self._failed_starts += worker.node == ""  # else it had started and was lost later
            any_ready = any(pool.ready for pool in self._pools)
            if not any_ready and self._failed_starts >= self._settings.shard_attempts:
                raise WorkerUnavailable(f"workers do not start: {error}") from error
            return
        self._failed_starts = 0
        worker.pool.idle.append(worker)

    def recheck(self, node: str) -> None:
        """Wait for another answer of the idle workers on a machine before they get work."""
        for pool in self._pools:
            on_it = [worker for worker in pool.idle if worker.node == node]
            pool.idle = [worker for worker in pool.idle if worker.node != node]
            for worker in on_it:
                self._await_answer(worker)

    def kill(self, worker: WorkerHandle) -> None:
        """End a worker and its child process."""
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(worker.actor)

    def close(self) -> None:
        """End all workers."""
        for pool in self._pools:
            for worker in [*pool.idle, *pool.starting, *pool.busy]:
                self.kill(worker)

    def _start(self, pool: Pool) -> None:
        group = pool.group
        job = self._make_job("cuda" if group.num_gpus else "cpu")
        options = {"num_cpus": group.num_cpus, "num_gpus": group.num_gpus}
        limits = limits_of(self._settings, group)
        actor = self._actor_class.options(**options).remote(job, limits, *options.values())
        self._await_answer(WorkerHandle(actor, pool))

    def _await_answer(self, worker: WorkerHandle) -> None:
        """Ask a worker for its machine; it gets no shard before it has answered."""
        worker.pool.starting.append(worker)
        self.starting[worker.actor.node.remote()] = worker

    def _end(self, worker: WorkerHandle) -> None:
        for reference in [r for r, starting in self.starting.items() if starting is worker]:
            del self.starting[reference]
        self.kill(worker)
