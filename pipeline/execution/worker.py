"""What a worker holds: the graph, and the stages that it has loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import NoReturn

import pyarrow as pa
from threadpoolctl import threadpool_limits

from wavemill.manifests.recording import Recording
from wavemill.pipeline.execution.faults import disk_full
from wavemill.pipeline.graph import ConfiguredStage, Graph
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import OnRecording, Task, TaskReport, needs_function, run_task
from wavemill.stages.recording_stage import RecordingStage, Upstream


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

    def load(self, task: Task) -> RecordingStage:
        """Return the task's stage, its engine loaded unless there is nothing for it to do.

        Raises EngineUnavailable when the engine cannot load.
        """
        if task.stage not in self._loaded:
            stage = self._graph.stages[task.stage]
            if not needs_function(task, stage, self._store):
                return _nothing
            self._loaded[task.stage] = stage.build(self._device)
            threadpool_limits(limits=1)  # also for libraries that the engine has just brought in
        return self._loaded[task.stage]

    def run(self, task: Task, on_recording: OnRecording | None = None) -> TaskReport:
        """Raises EngineUnavailable when the stage's engine cannot load, and DiskFull."""
        return self._run(task, self.load(task), on_recording)

    def probe(self, task: Task, recording_id: str, on_recording: OnRecording | None = None) -> None:
        """Run one recording of a task alone, and throw its rows away. Raises like `run`."""
        alone = tuple(r for r in task.recordings if r.recording_id == recording_id)
        function = self.load(task)

        def consume(recording: Recording, upstream: Upstream) -> NoReturn:
            try:
                for _ in function(recording, upstream):
                    pass
            except MemoryError:
                raise
            except Exception:  # its row among the errors is left to the task
                raise _Survived from None
            raise _Survived

        task = replace(task, recordings=alone, output=f"{task.output}.probe")
        with suppress(_Survived):
            self._run(task, consume, on_recording)

    def _run(
        self, task: Task, function: RecordingStage, on_recording: OnRecording | None
    ) -> TaskReport:
        stage: ConfiguredStage = self._graph.stages[task.stage]
        try:
            return run_task(task, stage, function, self._store, on_recording)
        except OSError as error:
            if (full := disk_full(error, self._store.root)) is not None:
                raise full from error
            raise


def _nothing(recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
    del recording, upstream
    return iter(())


class _Survived(BaseException):
    """Leaves `run_task` before it writes a table; no Exception, which would be an error row."""
