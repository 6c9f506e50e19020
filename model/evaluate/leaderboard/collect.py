"""The table of all runs of a folder and the published scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from wavemill.model.evaluate.benchmarks.schema import Benchmark, published_benchmarks
from wavemill.model.evaluate.metrics import mean_of
from wavemill.model.evaluate.runs.record import RECORD_FILE, Record, RunError, read_record
from wavemill.model.evaluate.runs.score import (
    ITEM_SCORES_FILE,
    StoredMetric,
    StoredScores,
    read_scores,
)
from wavemill.model.evaluate.runs.speech import SPEECH_FILE, SpeechScores, read_speech


@dataclass(frozen=True)
class Run:
    """A scored run."""

    folder: Path
    record: Record
    scores: StoredScores

    @property
    def main(self) -> StoredMetric:
        return self.scores.metrics[0]

    @property
    def whole(self) -> bool:
        """Whether the score covers all items of the published set, as far as that is known."""
        published = self.record.benchmark.data.items
        complete = self.scores.complete and self.record.limit is None
        return complete and published in (None, self.record.items)


@dataclass(frozen=True)
class Cell:
    """The score of one model on one benchmark."""

    value: float
    low: float | None = None
    high: float | None = None
    run: Run | None = None  # None: as published, or a mean of cells


@dataclass(frozen=True)
class BoardLine:
    """One benchmark: scores of runs and published scores, by the name of the model."""

    benchmark: Benchmark
    runs: Mapping[str, Cell]
    published: dict[str, Cell]

    @property
    def bests(self) -> list[Cell]:
        """The best cells among those over all items, or among all if there are none."""
        cells = [*self.runs.values(), *self.published.values()]
        cells = [c for c in cells if c.run is None or c.run.whole] or cells
        values = [cell.value for cell in cells]
        if not values:
            return []
        best = min(values) if self.benchmark.metric.better == "lower" else max(values)
        return [cell for cell in cells if cell.value == best]


@dataclass(frozen=True)
class Speaking:
    """The ratings of a run's spoken answers."""

    label: str
    benchmark: str
    scores: SpeechScores


@dataclass(frozen=True)
class Board:
    """The whole table; `problems` are runs that cannot be read or have no score yet."""

    lines: tuple[BoardLine, ...]
    problems: tuple[str, ...] = ()
    labels: tuple[str, ...] = field(default=())  # models that were run
    published: tuple[str, ...] = ()  # models of the report
    speaking: tuple[Speaking, ...] = ()


def board_of(folder: Path, everything: bool = False) -> Board:
    """Return the table of all runs below a folder; `everything` adds benchmarks without runs."""
    runs, problems = find_runs(folder)
    by_benchmark: dict[str, dict[str, Run]] = {}
    for run in runs:
        cells = by_benchmark.setdefault(run.record.benchmark.name, {})
        if (other := cells.get(run.record.label)) is not None:
            problems.append(f"{run.folder}: has the label and benchmark of {other.folder}")
            continue
        cells[run.record.label] = run
    known = published_benchmarks()
    own = {r.record.benchmark.name: r.record.benchmark for r in runs}
    lines = {name: _line(known.get(name, own.get(name)), by_benchmark) for name in {**known, **own}}
    for benchmark in known.values():
        if benchmark.mean_of:
            lines[benchmark.name] = _aggregate(benchmark, lines)
    shown = [line for line in lines.values() if line.runs or everything]
    shown.sort(key=lambda line: (line.benchmark.published.table or 99, line.benchmark.name))
    return Board(
        tuple(shown),
        tuple(problems),
        tuple(dict.fromkeys(run.record.label for run in runs)),
        _columns(shown),
        tuple(find_speech(folder)),
    )


def find_runs(folder: Path) -> tuple[list[Run], list[str]]:
    """Return the scored runs below a folder, and one line for each that has no score."""
    runs, problems = [], []
    for path in sorted(folder.rglob(RECORD_FILE)):
        try:
            record, scores = read_record(path.parent), read_scores(path.parent)
        except RunError as error:
            problems.append(str(error))
            continue
        if record is not None and scores is None and (path.parent / SPEECH_FILE).is_file():
            continue  # people would have to score it; its speech is in a table of its own
        if record is None or scores is None:
            problems.append(f"{path.parent}: not scored yet (wavemill evaluate --rescore)")
        elif not (path.parent / ITEM_SCORES_FILE).is_file():
            problems.append(
                f"{path.parent}: {ITEM_SCORES_FILE} is missing: wavemill evaluate --rescore"
            )
        elif scores.metrics[0].value is None:
            problems.append(f"{path.parent}: no item could be scored")
        else:
            runs.append(Run(path.parent, record, scores))
    return runs, problems


def find_speech(folder: Path) -> Iterator[Speaking]:
    """Yield the runs below a folder whose speech was rated, except unreadable ones."""
    for path in sorted(folder.rglob(SPEECH_FILE)):
        with suppress(RunError):
            record, scores = read_record(path.parent), read_speech(path.parent)
            if record is not None and scores is not None:
                yield Speaking(record.label, record.benchmark.name, scores)


def _line(benchmark: Benchmark | None, runs: Mapping[str, Mapping[str, Run]]) -> BoardLine:
    assert benchmark is not None
    cells = {}
    for label, run in runs.get(benchmark.name, {}).items():
        main = run.main
        assert main.value is not None
        cells[label] = Cell(main.value, main.low, main.high, run)
    published = {name: Cell(score) for name, score in benchmark.published.scores.items()}
    return BoardLine(benchmark, cells, published)


def _aggregate(benchmark: Benchmark, lines: Mapping[str, BoardLine]) -> BoardLine:
    """Return the line of an aggregate, for each model that was run on all of its parts."""
    parts = {name: lines[name].runs for name in benchmark.mean_of}
    labels = set.intersection(*map(set, parts.values()))
    cells = {
        label: Cell(
            mean_of({name: runs[label].value for name, runs in parts.items()}, benchmark.mean_of)
        )
        for label in sorted(labels)
    }
    return BoardLine(benchmark, cells, lines[benchmark.name].published)


def _columns(lines: Sequence[BoardLine]) -> tuple[str, ...]:
    """Return the published models, the report's own (which it prints last) first."""
    return tuple(dict.fromkeys(name for line in lines for name in reversed(line.published)))
