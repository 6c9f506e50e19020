"""Going through the items that have no answer yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from wavemill.model.evaluate.benchmarks.items import Item, Items
from wavemill.model.evaluate.models.answering import ModelError
from wavemill.model.evaluate.runs.answers import Answers, Row

# Asks a model about batches of items, in this process or elsewhere; answers come in any order.
Answerer = Callable[[Iterable[list[Item]]], Iterator[list[Row]]]
ONLY_ERRORS = 40  # items on end without one answer: something is wrong with the model


@dataclass(frozen=True)
class Standing:
    """How far a run is."""

    total: int
    answered: int
    failed: int

    @property
    def done(self) -> int:
        return self.answered + self.failed


def one_by_one(worker: Callable[[list[Item]], list[Row]]) -> Answerer:
    """Return an answerer that works in this process, a batch after another."""

    def answerer(batches: Iterable[list[Item]]) -> Iterator[list[Row]]:
        for batch in batches:
            yield worker(batch)

    return answerer


def answer_all(
    folder: Path,
    items: Items,
    answerer: Answerer,
    batch: int,
    limit: int | None = None,
    retry_failed: bool = False,
) -> Iterator[Standing]:
    """Ask about every item without an answer; yield how far it is, first and after each batch.

    What is yielded has been written. Raises ModelError when only errors come.
    """
    answers = Answers(folder)
    wanted = items.ids if limit is None else items.ids[:limit]
    known = set(wanted)
    states = {i: good for i, good in answers.states().items() if i in known}
    answered = sum(states.values())
    failed = 0 if retry_failed else len(states) - answered
    skip = {i for i, good in states.items() if good or not retry_failed}
    skip |= set(items.ids) - known
    yield Standing(len(wanted), answered, failed)
    if len(skip) == len(items):
        return
    bad = 0
    for rows in answerer(_batches(items.read(skip), batch)):
        answers.append(rows)
        errors = sum(row.error is not None for row in rows)
        answered, failed = answered + len(rows) - errors, failed + errors
        asked = [row for row in rows if row.seconds is not None]
        bad = bad + len(asked) if asked and all(row.error for row in asked) else 0
        yield Standing(len(wanted), answered, failed)
        if bad >= ONLY_ERRORS:
            raise ModelError(
                f"{bad} items on end had no answer, the last one because of: {_why(rows)}"
            )


def _batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while some := list(islice(items, size)):
        yield some


def _why(rows: Sequence[Row]) -> str:
    return next((row.error for row in reversed(rows) if row.error and row.seconds is not None), "?")
