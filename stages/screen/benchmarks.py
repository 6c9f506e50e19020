"""What of a conversation stands in a benchmark, where a model must not learn it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from wavemill.manifests.copies import words_of
from wavemill.model.evaluate.benchmarks.items import Items, ItemsError
from wavemill.model.evaluate.benchmarks.schema import BenchmarkError, items_file
from wavemill.stages.engine import EngineUnavailable


class BenchmarkTexts:
    """The questions and answers of prepared benchmarks, by their runs of words."""

    def __init__(self, folders: Sequence[Path], words: int) -> None:
        """Read the items of `folders`; `words` in a row are a match. Raises EngineUnavailable."""
        self._words = words
        self._runs: set[int] = set()
        self._questions: set[str] = set()  # shorter than a run
        for folder in folders:
            try:
                for item in _items(folder).read(sound=False):
                    self._add(item.question, item.references)
            except ItemsError as error:
                raise _unusable(folder, error) from None

    def matches(self, text: str) -> int:
        """Return how many runs of words of `text` stand in a benchmark.

        A text with fewer words than a run matches once, if it is a question as a whole.
        """
        words = words_of(text)
        if len(words) < self._words:
            return int(" ".join(words) in self._questions)
        return sum(hash(run) in self._runs for run in _runs(words, self._words))

    def _add(self, question: str | None, references: Sequence[str]) -> None:
        for text in (question or "", *references):
            words = words_of(text)
            self._runs.update(map(hash, _runs(words, self._words)))
            if text == question and 0 < len(words) < self._words:
                self._questions.add(" ".join(words))


def digests(folders: Sequence[Path]) -> list[str]:
    """Return the hashes of the benchmarks' items, sorted. Raises EngineUnavailable."""
    return sorted(_items(folder).digest() for folder in folders)


def _runs(words: Sequence[str], length: int) -> Iterator[str]:
    for start in range(len(words) - length + 1):
        yield " ".join(words[start : start + length])


def _items(folder: Path) -> Items:
    try:
        return Items(items_file(folder))
    except (BenchmarkError, ItemsError) as error:
        raise _unusable(folder, error) from None


def _unusable(folder: Path, error: Exception) -> EngineUnavailable:
    return EngineUnavailable(
        f"screen.benchmarks: {folder} is no prepared benchmark ({error}); remedy: name a folder "
        "that `wavemill benchmark prepare` made"
    )
