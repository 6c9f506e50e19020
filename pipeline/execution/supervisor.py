"""One worker: a child process that runs the stages, and what is done when it dies."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cloudpickle

from wavemill.pipeline.execution.faults import TaskFailed, WorkerUnavailable
from wavemill.pipeline.execution.limits import Limits
from wavemill.pipeline.execution.process import OUT_OF_MEMORY, TIMED_OUT, ChildProcess, Death
from wavemill.pipeline.execution.protocol import Request
from wavemill.pipeline.graph import Graph
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import Task, TaskReport

REMEDIES = {
    OUT_OF_MEMORY: "raise execution.worker_memory_gb or have fewer workers",
    TIMED_OUT: "raise execution.load_timeout_s",
}


def worker_job(make_graph: Callable[[], Graph], store: Store, device: str) -> bytes:
    """Return what a child is made from; functions of a script or a notebook travel too."""
    return bytes(cloudpickle.dumps((make_graph, store, device)))


class Supervisor:
    """Runs tasks in a child process that may crash, hang or fill the memory.

    The child says which recording it works on. When it dies there, that recording is run alone in
    a fresh child, its rows thrown away, until it has killed `attempts` of them: then it is
    excluded from the task and becomes a row of the errors. If it survives once, it was not to
    blame, and the task is run again, at most `task_attempts` times in all.

    One thread must make all calls. The child does not outlive this process.
    """

    def __init__(self, job: bytes, limits: Limits) -> None:
        """`job` is from `worker_job`. The first child starts at once, in the background."""
        self._job, self._limits = job, limits
        self._child = ChildProcess(job, limits)

    def run(self, task: Task) -> TaskReport:
        """Raises TaskFailed when the task's children die and no recording is to blame.

        Raises WorkerUnavailable when they cannot even start or load the engine; and what the
        stage or the store raises: EngineUnavailable, DiskFull, and bugs.
        """
        excluded, innocent = dict(task.excluded), 0
        while True:
            try:
                report: TaskReport = self._ask(Request(replace(task, excluded=excluded)))
                return report
            except Death as death:
                verdict = self._judge(task, death)
                if verdict is not None and death.recording_id is not None:
                    excluded[death.recording_id] = verdict
                    continue
                innocent += 1
                if innocent >= self._limits.task_attempts:
                    raise _given_up(death, innocent) from None

    def close(self) -> None:
        """End the child."""
        self._child.kill()

    def _judge(self, task: Task, death: Death) -> tuple[str, str] | None:
        """Return (reason, message) if the recording is to blame, None if it is not."""
        if death.recording_id is None:
            return None
        for _ in range(self._limits.attempts - 1):
            try:
                self._ask(Request(task, probe=death.recording_id))
                return None
            except Death as again:
                if again.recording_id is None:
                    return None  # it did not come so far: the task's next attempt will tell
                death = again
        times = self._limits.attempts
        return death.reason, death.message + (f", each of {times} times" if times > 1 else "")

    def _ask(self, request: Request) -> Any:
        """Ask the child, or a fresh one where it is gone; a dead one is swept away."""
        if not self._child.alive:
            self._renew()
        try:
            return self._child.ask(pickle.dumps(request))
        except Death:
            self._renew()
            raise

    def _renew(self) -> None:
        self._child.kill()
        self._child = ChildProcess(self._job, self._limits)


def _given_up(death: Death, times: int) -> TaskFailed | WorkerUnavailable:
    message = f"{death.message}; attempts: {times}"
    if death.at_work:
        return TaskFailed(message)
    remedy = REMEDIES.get(death.reason)
    return WorkerUnavailable(f"{message}; {remedy}" if remedy else message)
