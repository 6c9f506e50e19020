"""Asking a model about a few items, so that no item can spoil the others."""

from __future__ import annotations

from collections.abc import Sequence

from wavemill.model.evaluate.benchmarks.items import Item
from wavemill.model.evaluate.benchmarks.schema import Benchmark
from wavemill.model.evaluate.models.answering import Answer, Asked, Model, ModelError
from wavemill.model.evaluate.recipes.recipe import Recipe, prompt_for
from wavemill.model.evaluate.runs.answers import Row
from wavemill.model.evaluate.sound import SAMPLE_RATE, UnreadableSound, decoded, encoded


class Worker:
    """A model with its recipe for one benchmark."""

    def __init__(self, model: Model, recipe: Recipe, benchmark: Benchmark) -> None:
        self._model, self._recipe, self._benchmark = model, recipe, benchmark

    def __call__(self, items: Sequence[Item]) -> list[Row]:
        """Return a row per item, in order; what fails is a row with an error.

        Raises ModelError when the model itself is wrong, not an item.
        """
        asked: dict[str, Asked] = {}
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

    def _prepared(self, item: Item) -> Asked | Row:
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
        return Asked(item.item_id, prompt.text, prompt.system, sound)

    def _unfit(self, seconds: float) -> str | None:
        shortest, longest = self._recipe.shortest_s, self._recipe.longest_s
        if seconds < shortest:
            return f"not sent: {seconds:.3f} s is shorter than the recipe's {shortest:g} s"
        if longest is not None and seconds > longest:
            return f"not sent: {seconds:.2f} s is longer than the recipe's {longest:g} s"
        return None

    def _answers(self, asked: list[Asked]) -> list[Answer]:
        """Ask all at once; if that fails, one by one, so that only the culprits have no answer."""
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


def _row(one: Asked, answer: Answer) -> Row:
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
