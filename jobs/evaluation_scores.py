"""Scores of the answers that `evaluate` collects, their speech rated, and all of it printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from wavemill.jobs.plain import Terminal, plain
from wavemill.model.evaluate.benchmarks.items import Items
from wavemill.model.evaluate.benchmarks.schema import Benchmark
from wavemill.model.evaluate.runs.record import Record
from wavemill.model.evaluate.runs.score import (
    SCORES_FILE,
    StoredMetric,
    StoredScores,
    judge_from_environment,
    read_item_scores,
    score_run,
    scorer_for,
)
from wavemill.model.evaluate.runs.speech import Listeners, score_speech
from wavemill.model.evaluate.scorers.asr import AsrScorer, worst
from wavemill.model.evaluate.scoring import Mode, Scorer

MOST_SPEAKERS = 20  # that are printed
JUDGED = "judge"  # folder of a judge's replies, below --out


@dataclass(frozen=True)
class Test:
    benchmark: Benchmark
    items: Items


class Scoring:
    """Scores the answers of runs and prints the scores."""

    def __init__(self, out: Path, mode: Mode, skip: bool, speaks: bool, worst: int = 0) -> None:
        self._judge = judge_from_environment(out / JUDGED, _judging())
        self._worst = worst
        self._mode, self._skip, self._speaks = mode, skip, speaks
        self._listeners = Listeners()

    def _scorer(self, test: Test) -> Scorer | None:
        if self._skip or (self._speaks and test.benchmark.scorer is None):
            return None
        return scorer_for(test.benchmark, self._mode, self._judge)

    def check(self, test: Test) -> None:
        """Raise before any work what scoring would raise after it."""
        self._scorer(test)

    def load(
        self,
        profile: str,
        overrides: list[str],
        device: str,
        voice: Path | None,
        speaker_model: Path | None,
    ) -> None:
        from wavemill.pipeline.listeners import listeners

        self._listeners = listeners(profile, overrides, device, voice, speaker_model)

    def score(self, folder: Path, record: Record, test: Test) -> None:
        if self._skip:
            Terminal(stderr=True).print(plain(f"answers in {folder}"), soft_wrap=True)
            return
        if (scorer := self._scorer(test)) is not None:
            scores = score_run(folder, record, test.items, scorer, self._mode)
            _print_scores(record, scores, folder)
            if self._worst and isinstance(scorer, AsrScorer):
                _print_worst(folder, self._worst)
        if self._speaks:
            speech = score_speech(folder, test.items, self._listeners)
            _print_metrics(f"{record.label} speaking on {record.benchmark.name}", speech.metrics)


def _judging() -> Callable[[int, int], None] | None:
    """Return a function that shows the progress of a judge; None without a terminal."""
    console = Terminal(stderr=True)
    if not console.is_terminal:
        return None

    def show(done: int, total: int) -> None:
        console.print(f"judged {done:,}/{total:,}", end="\r" if done < total else "\n")

    return show


def _print_worst(folder: Path, count: int) -> None:
    console = Terminal()
    console.print("Most errors: [said>written] {-left out-} {+added+}")
    for item_score in worst(read_item_scores(folder), count):
        alignment = item_score.details["alignment"]
        console.print(plain(f"  {item_score.item_id}: {alignment}"), soft_wrap=True)


def _print_scores(record: Record, scores: StoredScores, folder: Path) -> None:
    _print_metrics(f"{record.label} on {record.benchmark.name}", scores.metrics)
    _print_speakers(scores)
    unit = record.benchmark.metric.unit
    notes = [f"main metric in {unit}"]
    if scores.failed:
        notes.append(f"{scores.failed:,} of {scores.total:,} items failed and are not in it")
    if scores.cut:
        notes.append(f"{scores.cut:,} answers were cut at a limit")
    Terminal().print(plain(f"{'; '.join(notes)}; {folder}"), soft_wrap=True)


def _print_speakers(scores: StoredScores) -> None:
    if not scores.by_speaker:
        return
    table = Table("speaker", title="By speaker, the worst first", title_justify="left")
    for name in (scores.metrics[0].name, "items"):
        table.add_column(name, justify="right")
    for one in scores.by_speaker[:MOST_SPEAKERS]:
        value = "-" if one.value is None else f"{one.value:.2f}"
        table.add_row(plain(one.speaker), value, f"{one.count:,}")
    console = Terminal()
    console.print(table)
    if (more := len(scores.by_speaker) - MOST_SPEAKERS) > 0:
        console.print(f"and {more:,} more speakers, in {SCORES_FILE}")


def _print_metrics(title: str, metrics: Sequence[StoredMetric]) -> None:
    table = Table("metric", title=plain(title), title_justify="left")
    for name in ("value", "95 % interval", "items", "unscored"):
        table.add_column(name, justify="right")
    for metric in metrics:
        value = "-" if metric.value is None else f"{metric.value:.2f}"
        wide = metric.low is None or metric.high is None
        span = "" if wide else f"{metric.low:.2f} to {metric.high:.2f}"
        unscored = f"{metric.unscored:,}" if metric.unscored else ""
        table.add_row(plain(metric.name), value, span, f"{metric.count:,}", unscored)
    Terminal().print(table)
