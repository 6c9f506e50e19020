"""Pools of workers, one per group of stages, and how many of each a cluster has room for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from wavemill.pipeline.execution.faults import ClusterTooSmall
from wavemill.pipeline.execution.settings import ExecutionSettings, GroupSettings, resolve_groups
from wavemill.pipeline.execution.shard_run import ShardRun
from wavemill.pipeline.plan import Plan


@dataclass
class Node:
    """CPUs and GPUs that a machine of the cluster has, or that are free on it."""

    cpus: float
    gpus: float

    def fits(self, group: GroupSettings) -> bool:
        """Whether a worker of the group fits on it."""
        return self.cpus >= group.num_cpus and self.gpus >= group.num_gpus


@dataclass(eq=False)
class WorkerHandle:
    """A worker of a pool: the Ray actor that supervises a child process."""

    actor: Any
    pool: Pool
    node: str = ""  # where it runs, once that is known


@dataclass(eq=False)
class Pool:
    """The workers of one group, and the shards that wait for one, each once for every task."""

    name: str
    stages: Sequence[str]
    group: GroupSettings
    max_workers: int  # however large the cluster is
    queue: deque[ShardRun] = field(default_factory=deque)
    idle: list[WorkerHandle] = field(default_factory=list)
    starting: list[WorkerHandle] = field(default_factory=list)  # did not answer yet
    busy: list[WorkerHandle] = field(default_factory=list)
    target: int = 0  # workers that it may have now
    had_min_workers: bool = False  # once is enough: workers that are lost later are tolerated

    @property
    def size(self) -> int:
        """How many workers it has, in whatever state."""
        return len(self.idle) + len(self.starting) + len(self.busy)

    @property
    def ready(self) -> int:
        """How many workers have answered."""
        return len(self.idle) + len(self.busy)

    def reached_min_workers(self) -> bool:
        """Whether it has, or once had, at least `min_workers` workers."""
        self.had_min_workers |= self.ready >= min(self.group.min_workers, self.max_workers)
        return self.had_min_workers

    @property
    def missing(self) -> int:
        """How many workers to start: one per waiting task, and `min_workers` at least."""
        useful = max(len(self.busy) + len(self.queue), self.group.min_workers)
        return min(self.target, useful) - self.size

    @property
    def requirement(self) -> str:
        """What one worker needs, as the beginning of an error message."""
        gpus = f" and {self.group.num_gpus:g} GPUs" if self.group.num_gpus else ""
        return f"execution.groups.{self.name}: a worker needs {self.group.num_cpus:g} CPUs{gpus}"


def make_pools(plan: Plan, settings: ExecutionSettings) -> list[Pool]:
    """Return a pool for each group that has work in this plan, in build order."""
    loads = [load for load in plan.loads() if load.shards]
    todo = {load.stage for load in loads}
    pieces = ceil(max((load.audio_ms for load in loads), default=0) / settings.piece_seconds / 1000)
    tasks = max(plan.pending, pieces)  # side by side, at most
    pools = []
    for name, stages in resolve_groups(settings, list(plan.graph.stages)).items():
        if not todo.isdisjoint(stages):
            group = settings.groups[name]
            caps = [group.max_workers, settings.workers, tasks]
            pools.append(Pool(name, stages, group, min(c for c in caps if c is not None)))
    order = list(plan.graph.stages)
    return sorted(pools, key=lambda pool: order.index(pool.stages[0]))


def check_groups_fit(pools: Iterable[Pool], nodes: Sequence[Node]) -> None:
    """Raise ClusterTooSmall if no machine can hold even one worker of some group."""
    for pool in pools:
        if not any(node.fits(pool.group) for node in nodes):
            raise ClusterTooSmall(f"{pool.requirement}; {describe_largest(nodes)}")


def describe_largest(nodes: Sequence[Node]) -> str:
    """Return one line on the largest machine, for an error message."""
    if not nodes:
        return "the cluster has no machine"
    cpus, gpus = max(node.cpus for node in nodes), max(node.gpus for node in nodes)
    return f"no machine of the cluster has more than {cpus:g} CPUs and {gpus:g} GPUs"


def set_targets(pools: Sequence[Pool], nodes: Sequence[Node]) -> bool:
    """Set how many workers each pool may have; return whether every pool can have one at once.

    The pools get one worker each, again and again, as long as one fits. If not every pool can
    have a worker, a pool that has workers keeps them until no shard waits for it, and only then
    another pool gets the room.
    """
    if _assign(pools, pools, nodes):
        return True
    waiting = [pool for pool in pools if pool.queue or pool.busy]
    _assign(pools, sorted(waiting, key=lambda pool: pool.size == 0), nodes)
    return False


def _assign(pools: Sequence[Pool], chosen: Sequence[Pool], nodes: Sequence[Node]) -> bool:
    """Set the targets of all pools; only the `chosen` ones get workers.

    Return whether each of these got one.
    """
    # Workers without a GPU use machines without one first.
    free = sorted((Node(n.cpus, n.gpus) for n in nodes), key=lambda node: node.gpus)
    for pool in pools:
        pool.target = 0
    growing = list(chosen)
    while growing:
        growing = [p for p in growing if p.target < p.max_workers and _reserve(free, p.group)]
        for pool in growing:
            pool.target += 1
    all_have_one = all(pool.target for pool in chosen)
    for pool in chosen:  # asked for even without room, so that a cluster can grow
        pool.target = max(pool.target, min(pool.group.min_workers, pool.max_workers))
    return all_have_one


def _reserve(nodes: list[Node], group: GroupSettings) -> bool:
    """Take what one worker needs from the first machine that has it; False if none has."""
    for node in nodes:
        if node.fits(group):
            node.cpus -= group.num_cpus
            node.gpus -= group.num_gpus
            return True
    return False
