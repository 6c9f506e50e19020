"""Supervising a child process that runs stages: restarting it, and excluding what kills it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cloudpickle

from wavemill.pipeline.execution.faults import TaskFailed, WorkerUnavailable
from wavemill.pipeline.execution.limits import Limits
from wavemill.pipeline.execution.process import OUT_OF_MEMORY, TIMED_OUT, ChildDied, ChildProcess
from wavemill.pipeline.execution.protocol import Request
from wavemill.pipeline.graph import Graph
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import Task, TaskResult

REMEDIES = {
    OUT_OF_MEMORY: "raise execution.worker_memory_gb or have fewer workers",
    TIMED_OUT: "raise execution.load_timeout_s",
}


def worker_job(make_graph: Callable[[], Graph], store: Store, device: str) -> bytes:
    """Return what a child is made from, as bytes.

    `make_graph` may be a function of a script or a notebook. `device` is "cpu" or "cuda".
    """
    return bytes(cloudpickle.dumps((make_graph, store, device)))


class Supervisor:
    """Runs tasks in a child process that may crash, hang or fill the memory.

    The child says which recording it works on. If it dies there, that recording is run alone in a
    new child and its rows are discarded. After `attempts` deaths the recording is excluded from
    the task and becomes a row of the errors table. If it passes once, it was not the cause, and
    the whole task is run again, at most `task_attempts` times.

    One thread must make all calls. The child ends with this process.
    """

    def __init__(self, job: bytes, limits: Limits) -> None:
        """`job` comes from `worker_job`. The first child starts at once, in the background."""
        self._job, self._limits = job, limits
        self._child = ChildProcess(job, limits)

    def run(self, task: Task) -> TaskResult:
        """Run a task in the child.

        Raises TaskFailed if children die and no recording is the cause, WorkerUnavailable if they
        cannot start or load the engine, and what the stage or the store raises:
        EngineUnavailable, DiskFull, and any exception of a bug.
        """
        excluded, unexplained = dict(task.excluded), 0
        while True:
            try:
                result: TaskResult = self._ask(Request(replace(task, excluded=excluded)))
                return result
            except ChildDied as death:
                cause = self._recording_as_cause(task, death)
                if cause is not None and death.recording_id is not None:
                    excluded[death.recording_id] = cause
                    continue
                unexplained += 1
                if unexplained >= self._limits.task_attempts:
                    raise _final_error(death, unexplained) from None

    @property
    def done_ms(self) -> int:
        """How much audio of the task that runs is done; another thread may ask."""
        return self._child.done_ms

    def close(self) -> None:
        """End the child."""
        self._child.kill()

    def _recording_as_cause(self, task: Task, death: ChildDied) -> tuple[str, str] | None:
        """Return (reason, message) if the recording killed the child, None otherwise."""
        if death.recording_id is None:
            return None
        for _ in range(self._limits.attempts - 1):
            try:
                self._ask(Request(task, probe=death.recording_id))
                return None
            except ChildDied as again:
                if again.recording_id is None:
                    return (
                        None  # it died before the recording: the next attempt of the task decides
                    )
                death = again
        times = self._limits.attempts
        return death.reason, death.message + (f", each of {times} times" if times > 1 else "")

    def _ask(self, request: Request) -> Any:
        """Send a request to the child; replace a child that has died, before or after that."""
        if not self._child.alive:
            self._restart()
        try:
            return self._child.ask(pickle.dumps(request))
        except ChildDied:
            self._restart()
            raise

    def _restart(self) -> None:
        self._child.kill()
        self._child = ChildProcess(self._job, self._limits)


def _final_error(death: ChildDied, times: int) -> TaskFailed | WorkerUnavailable:
    message = f"{death.message}; attempts: {times}"
    if death.while_working:
        return TaskFailed(message)
    remedy = REMEDIES.get(death.reason)
    return WorkerUnavailable(f"{message}; {remedy}" if remedy else message)
