"""The scores of runs, printed as tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from wavemill.jobs.plain import Terminal, plain
from wavemill.model.evaluate.runs.record import Record
from wavemill.model.evaluate.runs.score import SCORES_FILE, StoredMetric, StoredScores
from wavemill.model.evaluate.scoring import ItemScore
from wavemill.pipeline.evaluation import RunScores

MOST_SPEAKERS = 20  # that are printed


def print_run(folder: Path, record: Record, found: RunScores) -> None:
    """Print the scores of a run, which stand in `folder`."""
    if found.scores is not None:
        _print_scores(record, found.scores, folder)
    if found.worst:
        _print_worst(found.worst)
    if found.speech is not None:
        title = f"{record.label} speaking on {record.benchmark.name}"
        _print_metrics(title, found.speech.metrics)


def _print_worst(item_scores: Sequence[ItemScore]) -> None:
    console = Terminal()
    console.print("Most errors: [said>written] {-left out-} {+added+}")
    for item_score in item_scores:
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
