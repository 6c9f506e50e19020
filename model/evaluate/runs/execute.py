"""Asking a model about the items that have no answer yet, so that no item can spoil the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem, Items
from wavemill.model.evaluate.benchmarks.schema import Benchmark
from wavemill.model.evaluate.models.answering import Answer, Model, ModelError, ModelInput
from wavemill.model.evaluate.recipes.recipe import Recipe, prompt_for
from wavemill.model.evaluate.runs.answers import Answers, Row
from wavemill.model.evaluate.sound import SAMPLE_RATE, UnreadableSound, decoded, encoded

# Asks a model about batches of items, in this process or others; answers come in any order.
Answerer = Callable[[Iterable[list[BenchmarkItem]]], Iterator[list[Row]]]
ONLY_ERRORS = 40  # consecutive items without an answer: the model itself does not work


@dataclass(frozen=True)
class RunProgress:
    """The progress of a run, in items."""

    total: int
    answered: int
    failed: int

    @property
    def done(self) -> int:
        return self.answered + self.failed


def one_by_one(worker: Callable[[list[BenchmarkItem]], list[Row]]) -> Answerer:
    """Return an answerer that works in this process, one batch after another."""

    def answerer(batches: Iterable[list[BenchmarkItem]]) -> Iterator[list[Row]]:
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
) -> Iterator[RunProgress]:
    """Ask about every item without an answer; yield the progress, first and after each batch.

    Answers that are counted have been written. Raises ModelError after ONLY_ERRORS errors in a
    row.
    """
    answers = Answers(folder)
    wanted = items.ids if limit is None else items.ids[:limit]
    known = set(wanted)
    states = {i: good for i, good in answers.states().items() if i in known}
    answered = sum(states.values())
    failed = 0 if retry_failed else len(states) - answered
    skip = {i for i, good in states.items() if good or not retry_failed}
    skip |= set(items.ids) - known
    yield RunProgress(len(wanted), answered, failed)
    if len(skip) == len(items):
        return
    bad = 0
    for rows in answerer(_batches(items.read(skip), batch)):
        answers.append(rows)
        errors = sum(row.error is not None for row in rows)
        answered, failed = answered + len(rows) - errors, failed + errors
        asked = [row for row in rows if row.seconds is not None]
        bad = bad + len(asked) if asked and all(row.error for row in asked) else 0
        yield RunProgress(len(wanted), answered, failed)
        if bad >= ONLY_ERRORS:
            raise ModelError(
                f"{bad} items on end had no answer, the last one because of: {_why(rows)}"
            )


def _batches(items: Iterator[BenchmarkItem], size: int) -> Iterator[list[BenchmarkItem]]:
    while some := list(islice(items, size)):
        yield some


def _why(rows: Sequence[Row]) -> str:
    return next((row.error for row in reversed(rows) if row.error and row.seconds is not None), "?")


class ItemAnswerer:
    """Answers items of one benchmark with a model and a recipe."""

    def __init__(self, model: Model, recipe: Recipe, benchmark: Benchmark) -> None:
        self._model, self._recipe, self._benchmark = model, recipe, benchmark

    def __call__(self, items: Sequence[BenchmarkItem]) -> list[Row]:
        """Return one row per item, in order; an item that fails has a row with an error.

        Raises ModelError if the model itself does not work.
        """
        asked: dict[str, ModelInput] = {}
        rows: dict[str, Row] = {}
        for item in items:
            one = self._prepared(item)
            if isinstance(one, Row):
                rows[item.item_id] = one
            else:
                asked[item.item_id] = one
        answers = self._answers(list(asked.values()))
        for one, answer in zip(asked.values(), answers, strict=True):
            rows[one.item_id] = _row(one, answer)
        return [rows[item.item_id] for item in items]

    def _prepared(self, item: BenchmarkItem) -> ModelInput | Row:
        prompt = prompt_for(self._recipe, self._benchmark, item)
        sound = None
        if item.audio is not None:
            try:
                sound = decoded(item.audio)
            except UnreadableSound as error:
                return Row(item.item_id, prompt.text, error=str(error))
            seconds = len(sound) / SAMPLE_RATE
            if problem := self._unfit(seconds):
                return Row(item.item_id, prompt.text, error=problem, audio_s=seconds)
        return ModelInput(item.item_id, prompt.text, prompt.system, sound)

    def _unfit(self, seconds: float) -> str | None:
        shortest, longest = self._recipe.shortest_s, self._recipe.longest_s
        if seconds < shortest:
            return f"not sent: {seconds:.3f} s is shorter than the recipe's {shortest:g} s"
        if longest is not None and seconds > longest:
            return f"not sent: {seconds:.2f} s is longer than the recipe's {longest:g} s"
        return None

    def _answers(self, asked: list[ModelInput]) -> list[Answer]:
        """Ask all at once; if that fails, one by one, so that only bad items have no answer."""
        if not asked:
            return []
        try:
            return self._model.answer(asked)
        except ModelError:
            raise
        except Exception as error:  # whatever an item does to a model, the others go on
            if len(asked) == 1:
                return [Answer(error=f"{type(error).__name__}: {' '.join(str(error).split())}")]
        return [answer for one in asked for answer in self._answers([one])]


def _row(one: ModelInput, answer: Answer) -> Row:
    speech = answer.speech
    return Row(
        item_id=one.item_id,
        prompt=one.prompt,
        answer=None if answer.error is not None else answer.text,
        error=answer.error,
        complete=answer.complete,
        audio_s=None if one.audio is None else len(one.audio) / SAMPLE_RATE,
        seconds=answer.seconds,
        speech=None if speech is None else encoded(speech.samples, speech.rate),
        speech_s=None if speech is None else len(speech.samples) / speech.rate,
        first_chunk_s=None if speech is None else speech.first_chunk_s,
    )
