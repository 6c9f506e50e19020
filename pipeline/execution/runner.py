"""Running tasks in this process, with the stages that were loaded for earlier ones."""

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
from wavemill.pipeline.task import (
    OnProgress,
    OnRecording,
    Task,
    TaskResult,
    needs_function,
    run_task,
)
from wavemill.stages.recording_stage import RecordingStage, Upstream


class TaskRunner:
    """Runs tasks one after another in one thread; loads each engine at its first task."""

    def __init__(self, make_graph: Callable[[], Graph], store: Store, device: str) -> None:
        """Engines with `device: auto` are loaded on `device`, "cpu" or "cuda"."""
        # Every library uses one thread: otherwise workers would slow each other down, and sums
        # would depend on the number of cores.
        self._limits = threadpool_limits(limits=1)
        self._graph = make_graph()
        self._store = store
        self._device = device
        self._loaded: dict[str, RecordingStage] = {}

    def load(self, task: Task) -> RecordingStage:
        """Return the stage of a task, with its engine loaded unless the task has no rows to make.

        Raises EngineUnavailable if the engine cannot be loaded.
        """
        if task.stage not in self._loaded:
            stage = self._graph.stages[task.stage]
            if not needs_function(task, stage, self._store):
                return _nothing
            self._loaded[task.stage] = stage.build(self._device)
            threadpool_limits(limits=1)  # also for libraries that the engine has imported
        return self._loaded[task.stage]

    def run(
        self,
        task: Task,
        on_recording: OnRecording | None = None,
        on_progress: OnProgress | None = None,
    ) -> TaskResult:
        """Run a task. Raises EngineUnavailable if the engine cannot be loaded, and DiskFull."""
        return self._run(task, self.load(task), on_recording, on_progress)

    def probe(self, task: Task, recording_id: str, on_recording: OnRecording | None = None) -> None:
        """Run one recording of a task alone and discard its rows. Raises what `run` raises."""
        alone = tuple(r for r in task.recordings if r.recording_id == recording_id)
        function = self.load(task)

        def consume(recording: Recording, upstream: Upstream) -> NoReturn:
            try:
                for _ in function(recording, upstream):
                    pass
            except MemoryError:
                raise
            except Exception:  # the task itself writes the row of the errors table
                raise _ProbeEnded from None
            raise _ProbeEnded

        task = replace(task, recordings=alone, output=f"{task.output}-probe", pieces=())
        with suppress(_ProbeEnded):
            self._run(task, consume, on_recording)

    def _run(
        self,
        task: Task,
        function: RecordingStage,
        on_recording: OnRecording | None,
        on_progress: OnProgress | None = None,
    ) -> TaskResult:
        stage: ConfiguredStage = self._graph.stages[task.stage]
        try:
            return run_task(task, stage, function, self._store, on_recording, on_progress)
        except OSError as error:
            if (full := disk_full(error, self._store.root)) is not None:
                raise full from error
            raise


def _nothing(recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
    del recording, upstream
    return iter(())


class _ProbeEnded(BaseException):
    """Ends `run_task` before it writes a table.

    It is not an Exception, since `run_task` would turn one into a row of the errors table.
    """
