"""Answers from workers on Ray: each loads the model once and answers a batch at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem
from wavemill.model.evaluate.models.answering import ModelError
from wavemill.model.evaluate.recipes.recipe import RecipeError
from wavemill.model.evaluate.runs.answers import Row
from wavemill.model.evaluate.runs.execute import Answerer
from wavemill.pipeline.execution.faults import RunStopped
from wavemill.pipeline.execution.ray_session import ray_session, starting_ray
from wavemill.pipeline.execution.settings import ExecutionSettings

ATTEMPTS = 3  # workers that a batch may lose before its items count as failed
Asking = Callable[[list[BenchmarkItem]], list[Row]]


class Seat:
    """The actor: a model in a process of its own, loaded with the first batch."""

    def __init__(self, make: Callable[[], Asking]) -> None:
        self._make = make
        self._asking: Asking | None = None

    def ask(self, items: list[BenchmarkItem]) -> list[Row]:
        if self._asking is None:
            self._asking = self._make()
        return self._asking(items)


@dataclass
class _Batch:
    items: list[BenchmarkItem]
    lost: int = 0


def ray_answerer(
    make: Callable[[], Asking], workers: int, address: str | None = None, num_gpus: float = 0.0
) -> Answerer:
    """Return an answerer on this number of workers; `make` loads the model in each of them.

    A lost worker is replaced, and its batch is asked again. The answerer raises ModelError and
    RecipeError of the model, and RunStopped for any other error in a worker.
    """

    def answerer(batches: Iterable[list[BenchmarkItem]]) -> Iterator[list[Row]]:
        print(starting_ray(address), file=sys.stderr)
        settings = ExecutionSettings(workers=workers, address=address)
        with ray_session(settings) as ray:
            yield from _Crew(ray, make, workers, num_gpus).run(iter(batches))

    return answerer


class _Crew:
    def __init__(self, ray: Any, make: Callable[[], Asking], workers: int, num_gpus: float) -> None:
        self._ray, self._make, self._options = ray, make, {"num_cpus": 1, "num_gpus": num_gpus}
        self._class = ray.remote(max_restarts=0, max_task_retries=0)(Seat)
        self._idle = [self._seat() for _ in range(workers)]
        self._running: dict[Any, tuple[Any, _Batch]] = {}

    def run(self, batches: Iterator[list[BenchmarkItem]]) -> Iterator[list[Row]]:
        again: list[_Batch] = []
        while True:
            while self._idle and (batch := again.pop() if again else _next(batches)) is not None:
                seat = self._idle.pop()
                self._running[seat.ask.remote(batch.items)] = (seat, batch)
            if not self._running:
                return
            (done, *_), _ = self._ray.wait([*self._running], num_returns=1)
            seat, batch = self._running.pop(done)
            try:
                rows = self._ray.get(done)
            except self._ray.exceptions.RayTaskError as error:
                cause = error.cause
                if isinstance(cause, ModelError | RecipeError):
                    raise cause from None
                raise RunStopped(f"a worker failed: {cause!r}") from None
            except self._ray.exceptions.RayError as error:
                self._idle.append(self._seat())
                batch.lost += 1
                if batch.lost < ATTEMPTS:
                    again.append(batch)
                    continue
                why = f"{batch.lost} workers were lost with it: {str(error).splitlines()[0]}"
                yield [Row(item.item_id, error=why, seconds=0.0) for item in batch.items]
                continue
            self._idle.append(seat)
            yield rows

    def _seat(self) -> Any:
        return self._class.options(**self._options).remote(self._make)


def _next(batches: Iterator[list[BenchmarkItem]]) -> _Batch | None:
    items = next(batches, None)
    return None if items is None else _Batch(items)
