"""Running a plan in this process, shard after shard: for small builds, tests and debugging."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from wavemill.pipeline.dividing import Divide, divider, undivided
from wavemill.pipeline.execution.events import Event, Progress, ShardDone, TaskDone, TaskStarted
from wavemill.pipeline.execution.runner import TaskRunner
from wavemill.pipeline.execution.shard_run import ShardRun
from wavemill.pipeline.graph import Graph
from wavemill.pipeline.plan import Plan
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import PieceResult


def run_inline(
    plan: Plan,
    make_graph: Callable[[], Graph],
    store: Store,
    piece_seconds: float | None = None,
) -> Iterator[Event]:
    """Run all tasks of the plan; yield events as they happen.

    With `piece_seconds`, long recordings are worked on in pieces of about that length, so that
    there is progress to see and a run that dies loses a piece only.

    Nothing supervises the work: if a recording crashes a library, hangs or fills the memory, so
    does this process. Raises EngineUnavailable and DiskFull.
    """
    runner = TaskRunner(make_graph, store, "cpu")
    divide: Divide = undivided if piece_seconds is None else divider(store, piece_seconds)
    for shard in plan.unfinished():
        run = ShardRun(shard, divide)
        while (task := run.take(plan.graph.stages)) is not None:
            if not task.pieces:
                yield TaskStarted(task.stage, task.shard_id)
            result = runner.run(task)
            run.finish(task, result)
            if isinstance(result, PieceResult):
                yield Progress(result.stage, result.shard_id, result.audio_ms)
            else:
                yield TaskDone(result)
        yield ShardDone(shard.shard.shard_id)
