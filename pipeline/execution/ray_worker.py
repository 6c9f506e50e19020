"""Workers as Ray actors: one of them, and all of a run."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from wavemill.pipeline.execution.faults import WorkerUnavailable
from wavemill.pipeline.execution.limits import Limits
from wavemill.pipeline.execution.pools import Hand, Pool
from wavemill.pipeline.execution.settings import ExecutionSettings, limits_of
from wavemill.pipeline.execution.supervisor import Supervisor
from wavemill.pipeline.task import Task, TaskReport


class RayWorker:
    """The actor: a supervisor on some machine of the cluster."""

    def __init__(self, job: bytes, limits: Limits, num_cpus: float, num_gpus: float) -> None:
        ray: Any = importlib.import_module("ray")
        self._node = ray.get_runtime_context().get_node_id()
        machine = next(n["Resources"] for n in ray.nodes() if n["NodeID"] == self._node)
        cpus, gpus = machine.get("CPU", 0.0), machine.get("GPU", 0.0)
        share = max(num_cpus / cpus if cpus else 1.0, num_gpus / gpus if gpus else 0.0)
        self._supervisor = Supervisor(job, limits.on_this_machine(share))

    def node(self) -> str:
        """Return where it runs, as soon as it does."""
        return str(self._node)

    def run(self, task: Task) -> TaskReport:
        return self._supervisor.run(task)


class Staff:
    """The workers of all pools: who starts, who answers, who is let go."""

    def __init__(
        self,
        ray: Any,
        pools: Sequence[Pool],
        make_job: Callable[[str], bytes],
        settings: ExecutionSettings,
    ) -> None:
        """`make_job` gives what a worker on a device ("cpu", "cuda") is made from."""
        self._ray, self._pools, self._make_job, self._settings = ray, pools, make_job, settings
        self._actor_class = ray.remote(max_restarts=0, max_task_retries=0)(RayWorker)
        self._failed_starts = 0
        self.starting: dict[Any, Hand] = {}  # reference to its first answer -> worker

    def adjust(self) -> None:
        """Let go the workers beyond the pools' targets, and start those that are lacking."""
        for pool in self._pools:
            while pool.size > pool.target and (pool.idle or pool.starting):
                self._let_go((pool.starting or pool.idle).pop())
        for pool in self._pools:
            for _ in range(pool.lacking):
                self._start(pool)

    def greet(self, reference: Any) -> None:
        """Take a worker that has answered, or note that it is not to be had.

        Raises WorkerUnavailable once `shard_attempts` starts on end have failed, and none works.
        """
        hand = self.starting.pop(reference)
        hand.pool.starting.remove(hand)
        try:
            hand.node = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self.kill(hand)
            self._failed_starts += hand.node == ""  # else it had started, and was lost since
            nobody = not any(pool.here for pool in self._pools)
            if nobody and self._failed_starts >= self._settings.shard_attempts:
                raise WorkerUnavailable(f"workers do not start: {error}") from error
            return
        self._failed_starts = 0
        hand.pool.idle.append(hand)

    def doubt(self, node: str) -> None:
        """Have the idle workers of a machine answer again before they get work."""
        for pool in self._pools:
            doubtful = [hand for hand in pool.idle if hand.node == node]
            pool.idle = [hand for hand in pool.idle if hand.node != node]
            for hand in doubtful:
                self._expect(hand)

    def kill(self, hand: Hand) -> None:
        """End a worker, and its child with it."""
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(hand.actor)

    def close(self) -> None:
        for pool in self._pools:
            for hand in [*pool.idle, *pool.starting, *pool.busy]:
                self.kill(hand)

    def _start(self, pool: Pool) -> None:
        group = pool.group
        job = self._make_job("cuda" if group.num_gpus else "cpu")
        options = {"num_cpus": group.num_cpus, "num_gpus": group.num_gpus}
        limits = limits_of(self._settings, group)
        actor = self._actor_class.options(**options).remote(job, limits, *options.values())
        self._expect(Hand(actor, pool))

    def _expect(self, hand: Hand) -> None:
        """Have a worker say where it is; it gets no shard before."""
        hand.pool.starting.append(hand)
        self.starting[hand.actor.node.remote()] = hand

    def _let_go(self, hand: Hand) -> None:
        for reference in [r for r, starting in self.starting.items() if starting is hand]:
            del self.starting[reference]
        self.kill(hand)
