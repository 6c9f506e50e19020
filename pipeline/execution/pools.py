"""Pools of workers, one per group of stages, and how many of each a cluster has room for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from wavemill.pipeline.execution.faults import ClusterTooSmall
from wavemill.pipeline.execution.settings import ExecutionSettings, GroupSettings, resolve_groups
from wavemill.pipeline.plan import Plan, ShardPlan


@dataclass
class Node:
    """What a machine of the cluster has, or has left."""

    cpus: float
    gpus: float

    def fits(self, group: GroupSettings) -> bool:
        return self.cpus >= group.num_cpus and self.gpus >= group.num_gpus


@dataclass(eq=False)
class Hand:
    """A worker of a pool: an actor that supervises a child."""

    actor: Any
    pool: Pool
    node: str = ""  # where it runs, once that is known


@dataclass(eq=False)
class Pool:
    """The workers of one group, and the shards that wait for one."""

    name: str
    stages: Sequence[str]
    group: GroupSettings
    most: int  # workers, however large the cluster is
    queue: deque[ShardPlan] = field(default_factory=deque)
    idle: list[Hand] = field(default_factory=list)
    starting: list[Hand] = field(default_factory=list)  # have not answered yet
    busy: list[Hand] = field(default_factory=list)
    target: int = 0  # workers that it may have now
    was_staffed: bool = False  # it had those that it must have; what is lost later is borne

    @property
    def size(self) -> int:
        return len(self.idle) + len(self.starting) + len(self.busy)

    @property
    def here(self) -> int:
        return len(self.idle) + len(self.busy)

    def is_staffed(self) -> bool:
        """Whether it has, or once had, the workers that it must have."""
        self.was_staffed |= self.here >= min(self.group.min_workers, self.most)
        return self.was_staffed

    @property
    def lacking(self) -> int:
        """How many workers to start: for what waits, and those that it must always have."""
        useful = max(len(self.busy) + len(self.queue), self.group.min_workers)
        return min(self.target, useful) - self.size

    @property
    def need(self) -> str:
        gpus = f" and {self.group.num_gpus:g} GPUs" if self.group.num_gpus else ""
        return f"execution.groups.{self.name}: a worker needs {self.group.num_cpus:g} CPUs{gpus}"


def make_pools(plan: Plan, settings: ExecutionSettings) -> list[Pool]:
    """Return a pool for each group that has work in this plan, in build order."""
    todo = {load.stage for load in plan.loads() if load.shards}
    pools = []
    for name, stages in resolve_groups(settings, list(plan.graph.stages)).items():
        if not todo.isdisjoint(stages):
            group = settings.groups[name]
            caps = [group.max_workers, settings.workers, plan.pending]
            pools.append(Pool(name, stages, group, min(c for c in caps if c is not None)))
    order = list(plan.graph.stages)
    return sorted(pools, key=lambda pool: order.index(pool.stages[0]))


def check_fit(pools: Iterable[Pool], nodes: Sequence[Node]) -> None:
    """Raise ClusterTooSmall for a group of which no machine can hold even one worker."""
    for pool in pools:
        if not any(node.fits(pool.group) for node in nodes):
            raise ClusterTooSmall(f"{pool.need}; {largest(nodes)}")


def largest(nodes: Sequence[Node]) -> str:
    if not nodes:
        return "the cluster has no machine"
    cpus, gpus = max(node.cpus for node in nodes), max(node.gpus for node in nodes)
    return f"no machine of the cluster has more than {cpus:g} CPUs and {gpus:g} GPUs"


def set_targets(pools: Sequence[Pool], nodes: Sequence[Node]) -> bool:
    """Divide the machines among the pools; False if they cannot all have a worker at once.

    In turns, one worker each, as long as one fits. Where not even the first turn goes round, the
    pools take turns in time: one that has workers keeps them until nothing waits for them.
    """
    if roomy := _deal(pools, pools, nodes):
        return roomy
    waiting = [pool for pool in pools if pool.queue or pool.busy]
    _deal(pools, sorted(waiting, key=lambda pool: pool.size == 0), nodes)
    return False


def _deal(pools: Sequence[Pool], takers: Sequence[Pool], nodes: Sequence[Node]) -> bool:
    """Set all targets, those of `takers` in turns; return whether each of them got a worker."""
    # Workers without a GPU go to machines without one first.
    left = sorted((Node(n.cpus, n.gpus) for n in nodes), key=lambda node: node.gpus)
    for pool in pools:
        pool.target = 0
    rest = list(takers)
    while rest:
        rest = [pool for pool in rest if pool.target < pool.most and _take(left, pool.group)]
        for pool in rest:
            pool.target += 1
    fair = all(pool.target for pool in takers)
    for pool in takers:  # asked for even without room: a cluster that grows sees the demand
        pool.target = max(pool.target, min(pool.group.min_workers, pool.most))
    return fair


def _take(nodes: list[Node], group: GroupSettings) -> bool:
    for node in nodes:
        if node.fits(group):
            node.cpus -= group.num_cpus
            node.gpus -= group.num_gpus
            return True
    return False
