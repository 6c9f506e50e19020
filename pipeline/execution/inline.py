"""The plan in this process, shard after shard: for debugging, tests, and as a yardstick."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from wavemill.pipeline.execution.events import Event, ShardDone, TaskDone, TaskStarted
from wavemill.pipeline.execution.worker import Worker
from wavemill.pipeline.graph import Graph
from wavemill.pipeline.plan import Plan
from wavemill.pipeline.store import Store


def run_inline(plan: Plan, make_graph: Callable[[], Graph], store: Store) -> Iterator[Event]:
    """Run everything that the plan wants; yields what happens, as it happens.

    Nothing supervises the work: a recording that crashes, hangs or fills the memory takes this
    process with it. Raises EngineUnavailable and DiskFull.
    """
    worker = Worker(make_graph, store, "cpu")
    for shard in plan.unfinished():
        while (task := shard.next_task()) is not None:
            yield TaskStarted(task.stage, task.shard_id)
            report = worker.run(task)
            shard.finish(report)
            yield TaskDone(report)
        yield ShardDone(shard.shard.shard_id)
