"""The text of a board, which the page and the Markdown show alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from wavemill.model.evaluate.leaderboard.collect import Board, BoardLine, Cell, Run, Speaking
from wavemill.model.evaluate.leaderboard.compare import difference

PARTIAL = "†"
TIED = "≈"
LEGEND = (
    "The range beside or below a number: its 95 % interval, by bootstrap over the items.",
    f"Bold: best of its row. {TIED}: not distinguishable from the best at 95 %; no sign beside a "
    "published score means that nothing can be said, since its items are not published.",
    f"{PARTIAL}: not over all items of the published set (see Runs): it is compared with no "
    "published score, and is best only where there is none.",
    "Published scores are those of the Kimi-Audio technical report (arXiv 2504.18425), tables 4 "
    "to 7, as printed.",
)
# Heads of the tables of `Comparison` and `ShownRun`.
COMPARISON_HEAD = ("benchmark", "first", "second", "difference", "95 %", "how", "first is")
RUN_HEAD = (
    *("model", "benchmark", "items", "failed", "recipe"),
    *("scored by", "weights", "versions", "begun"),
)
SPEECH_HEAD = (
    *("model", "benchmark", "answers", "transcript errors, % ↓", "DNSMOS, 1-5 ↑"),
    *("speaker similarity ↑", "first sound, s ↓", "real-time factor ↓"),
)
KINDS = {
    "paired": "paired bootstrap",
    "intervals": "both intervals",
    "published": "interval of the run",
}


@dataclass(frozen=True)
class ShownCell:
    """One score as text; an empty `value` means that there is none."""

    value: str = ""
    interval: str = ""
    best: bool = False
    tied: bool = False
    partial: bool = False

    @property
    def marks(self) -> str:
        return (TIED if self.tied else "") + (PARTIAL if self.partial else "")


@dataclass(frozen=True)
class ShownLine:
    """One benchmark."""

    category: str
    name: str
    metric: str  # such as "wer, % ↓"
    lower_is_better: bool
    runs: tuple[ShownCell, ...]
    published: tuple[ShownCell, ...]


@dataclass(frozen=True)
class Comparison:
    """A comparison of two scores of one benchmark."""

    benchmark: str
    first: str
    second: str
    difference: str
    interval: str
    how: str
    outcome: str  # better, worse, not shown to differ


@dataclass(frozen=True)
class ShownRun:
    """Where the score of a run comes from."""

    label: str
    benchmark: str
    items: str
    failed: str
    recipe: str
    scored: str
    model: str
    versions: str
    created: str


@dataclass(frozen=True)
class View:
    """All text of a board."""

    runs: tuple[str, ...]  # columns
    published: tuple[str, ...]
    lines: tuple[ShownLine, ...]
    comparisons: tuple[Comparison, ...]
    sources: tuple[ShownRun, ...]
    speaking: tuple[tuple[str, ...], ...]  # rows under SPEECH_HEAD
    problems: tuple[str, ...]


def view_of(board: Board) -> View:
    return View(
        board.labels,
        board.published,
        tuple(_line(line, board) for line in board.lines),
        tuple(c for line in board.lines for c in _comparisons(line)),
        tuple(_source(cell.run) for line in board.lines for cell in line.runs.values() if cell.run),
        tuple(map(_speaking, board.speaking)),
        board.problems,
    )


def _speaking(one: Speaking) -> tuple[str, ...]:
    """Return a row of the table of speech; a missing metric is a dash."""
    found = {metric.name: metric for metric in one.scores.metrics}
    errors = next((name for name in found if name.startswith("speech_") and "er" in name[-2:]), "")
    names = (errors, "speech_quality", "speaker_similarity", "first_chunk_s", "real_time_factor")
    values = (found[name].value if name in found else None for name in names)
    shown = ("–" if value is None else f"{value:.2f}" for value in values)
    return (one.label, one.benchmark, f"{one.scores.spoken:,}", *shown)


def _line(line: BoardLine, board: Board) -> ShownLine:
    metric = line.benchmark.metric
    arrow = "↓" if metric.better == "lower" else "↑"
    return ShownLine(
        line.benchmark.category,
        line.benchmark.name,
        f"{metric.name}, {metric.unit} {arrow}",
        metric.better == "lower",
        tuple(_cell(line, line.runs.get(label)) for label in board.labels),
        tuple(_cell(line, line.published.get(name)) for name in board.published),
    )


def _cell(line: BoardLine, cell: Cell | None) -> ShownCell:
    if cell is None:
        return ShownCell()
    partial = cell.run is not None and not cell.run.whole
    best = cell in line.bests
    return ShownCell(
        f"{cell.value:.2f}",
        "" if cell.low is None or cell.high is None else f"{cell.low:.2f}–{cell.high:.2f}",
        best,
        not best and _tied(line, cell),
        partial,
    )


def _tied(line: BoardLine, cell: Cell) -> bool:
    """Return whether this cell does not differ significantly from some best cell of the line."""
    found = [difference(cell, best) for best in line.bests]
    return any(one is not None and not one.significant for one in found)


def _comparisons(line: BoardLine) -> Iterator[Comparison]:
    pairs = list(combinations(line.runs.items(), 2))
    pairs += [(run, other) for run in line.runs.items() for other in line.published.items()]
    for (first, mine), (second, other) in pairs:
        found = difference(mine, other)
        if found is None:
            continue
        good = (found.value < 0) == (line.benchmark.metric.better == "lower")
        outcome = "not shown to differ"
        if found.significant:
            outcome = "better" if good else "worse"
        items = f", {found.items:,} items" if found.items is not None else ""
        yield Comparison(
            line.benchmark.name,
            first,
            second if other.run else f"{second} (published)",
            f"{found.value:+.2f}",
            f"{found.low:+.2f} to {found.high:+.2f}",
            f"{KINDS[found.kind]}{items}",
            outcome,
        )


def _source(run: Run) -> ShownRun:
    record, scores = run.record, run.scores
    published = record.benchmark.data.items
    of = f" of {published:,} published" if published and published != scores.answered else ""
    learnt = f", {record.learnt:,} of recordings that it learnt from" if record.learnt else ""
    model = record.model
    weights = f" {model['sha256'][:12]}" if "sha256" in model else ""
    return ShownRun(
        record.label,
        record.benchmark.name,
        f"{scores.answered:,}{of}{learnt}",
        f"{scores.failed:,}",
        f"{record.recipe.name}, seed {record.seed}",
        f"{scores.scorer}, {scores.mode}{f', judge {scores.judge}' if scores.judge else ''}",
        f"{model.get('kind', '')} {model.get('name', '')}{weights}",
        ", ".join(f"{name} {version}" for name, version in record.versions.items()),
        record.created[:10],
    )
