"""Ray as the scheduler sees it, in one process and with a clock of its own: nothing sleeps.

A task is run when it is given to a worker, and is done when the clock has come to its end: after
as many seconds as it has audio.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from wavemill.pipeline.execution.runner import TaskRunner
from wavemill.pipeline.task import Task


class Lost(Exception):
    """As `ray.exceptions.RayError`: the worker is gone."""


class Raised(Lost):
    """As `ray.exceptions.RayTaskError`."""


@dataclass(repr=False)
class SimulatedRay:
    """The functions of the module `ray` that a run calls."""

    runner: TaskRunner
    cpus: int
    seconds: Callable[[Task], float]
    loses: Callable[[Task], bool] = lambda _: False  # a worker dies of it
    now: float = 0.0
    busy: float = 0.0  # seconds of all workers
    workers: int = 0
    _answers: dict[int, tuple[float, Any]] = field(default_factory=dict)

    exceptions = SimpleNamespace(RayError=Lost, RayTaskError=Raised)

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "NodeID": "one", "Resources": {"CPU": float(self.cpus)}}]

    def remote(self, **_: Any) -> Callable[[type], Any]:
        """Return what decorates a class of actors."""
        return lambda _: SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._actor))

    def _actor(self, *_: Any) -> Any:
        self.workers += 1
        return SimpleNamespace(
            node=SimpleNamespace(remote=lambda: self._answer(0.0, "one")),
            run=SimpleNamespace(remote=self._run),
            done_ms=SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._done)),
        )

    def _run(self, task: Task) -> int:
        seconds = self.seconds(task)
        self.busy += seconds
        lost = self.loses(task)
        return self._answer(seconds, Lost("gone") if lost else self.runner.run(task))

    def _done(self) -> int:
        return self._answer(0.0, 0)

    def _answer(self, seconds: float, answer: Any) -> int:
        reference = len(self._answers)
        self._answers[reference] = (self.now + seconds, answer)
        return reference

    def wait(
        self, references: Sequence[int], num_returns: int, timeout: float
    ) -> tuple[list[int], list[int]]:
        """Go on to the end of the first task that ends."""
        del timeout
        (first,) = heapq.nsmallest(num_returns, references, key=lambda r: self._answers[r][0])
        self.now = max(self.now, self._answers[first][0])
        return [first], [other for other in references if other != first]

    def get(self, reference: int) -> Any:
        answer = self._answers[reference][1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def kill(self, actor: Any) -> None:
        del actor

    @contextmanager
    def session(self, _: Any) -> Any:
        """Stand in for `ray_session`."""
        yield self
