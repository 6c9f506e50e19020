"""Running a plan in this process, shard after shard: for small builds, tests and debugging."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from wavemill.pipeline.execution.events import Event, ShardDone, TaskDone, TaskStarted
from wavemill.pipeline.execution.runner import TaskRunner
from wavemill.pipeline.graph import Graph
from wavemill.pipeline.plan import Plan
from wavemill.pipeline.store import Store


def run_inline(plan: Plan, make_graph: Callable[[], Graph], store: Store) -> Iterator[Event]:
    """Run all tasks of the plan; yield events as they happen.

    Nothing supervises the work: if a recording crashes a library, hangs or fills the memory, so
    does this process. Raises EngineUnavailable and DiskFull.
    """
    runner = TaskRunner(make_graph, store, "cpu")
    for shard in plan.unfinished():
        while (task := shard.next_task()) is not None:
            yield TaskStarted(task.stage, task.shard_id)
            result = runner.run(task)
            shard.finish(result)
            yield TaskDone(result)
        yield ShardDone(shard.shard.shard_id)
