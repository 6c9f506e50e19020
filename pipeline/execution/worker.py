"""What a worker holds: the graph, and the stages that it has loaded."""

from __future__ import annotations

from collections.abc import Callable

from threadpoolctl import threadpool_limits

from pipeline.graph import Graph
from pipeline.store import Store
from pipeline.task import Task, TaskReport, run_task
from stages.recording_stage import RecordingStage


class Worker:
    """Runs tasks one after another with one thread; each engine is loaded at its first task."""

    def __init__(self, make_graph: Callable[[], Graph], store: Store, device: str) -> None:
        """`device` is where engines with `device: auto` are loaded: "cpu" or "cuda"."""
        # One thread for every library: two workers on two cores must not fight, and sums must
        # not depend on how many threads a machine has.
        self._limits = threadpool_limits(limits=1)
        self._graph = make_graph()
        self._store = store
        self._device = device
        self._loaded: dict[str, RecordingStage] = {}

    def run(self, task: Task) -> TaskReport:
        """Raises EngineUnavailable when the stage's engine cannot load."""
        stage = self._graph.stages[task.stage]
        if stage.name not in self._loaded:
            self._loaded[stage.name] = stage.build(self._device)
            threadpool_limits(limits=1)  # also for libraries that the engine has just brought in
        return run_task(task, stage, self._loaded[stage.name], self._store)
