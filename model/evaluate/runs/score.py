"""From answers to scores: `scores.json` and `verdicts.parquet` beside the answers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from wavemill.model.evaluate.benchmarks.items import Items
from wavemill.model.evaluate.benchmarks.schema import Benchmark
from wavemill.model.evaluate.judge.asking import EndpointJudge, Judge, JudgeSettings
from wavemill.model.evaluate.runs.answers import Answers
from wavemill.model.evaluate.runs.record import Record, RunError, now, write_json
from wavemill.model.evaluate.scorers.registry import scorer
from wavemill.model.evaluate.scoring import (
    Answered,
    Better,
    ItemScore,
    Metric,
    Mode,
    Scorer,
    Scores,
)

SCORES_FILE = "scores.json"
ITEM_SCORES_FILE = "verdicts.parquet"  # the name that stored runs have
ITEM_SCORES = pa.schema(
    [
        pa.field("item_id", pa.string(), False),
        pa.field("value", pa.float64()),  # null: unscored
        pa.field("note", pa.string()),
        pa.field("details", pa.string()),  # JSON
    ]
)


class StoredMetric(BaseModel):
    """A stored `scoring.Metric`; None in place of NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    count: int
    unscored: int
    better: Better


class SpeakerScore(BaseModel):
    """The first metric over the items of one speaker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    speaker: str
    value: float | None
    count: int  # items


class StoredScores(BaseModel):
    """The content of `scores.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scorer: str
    options: dict[str, object] = {}
    mode: Mode = "default"
    judge: str | None = None  # model that judged
    metrics: tuple[StoredMetric, ...]
    by_speaker: tuple[SpeakerScore, ...] = ()  # worst first; where several are named
    total: int  # items of the run
    answered: int
    failed: int  # items without an answer: not in any metric
    cut: int  # answers that ended at a limit
    scored: str  # ISO 8601, UTC

    @property
    def complete(self) -> bool:
        """Whether every item was answered."""
        return self.answered == self.total


def answered_items(folder: Path, record: Record, items: Items) -> tuple[list[Answered], int, int]:
    """Return the answered items, the number of failed items, and the number of cut answers."""
    wanted = set(items.ids if record.limit is None else items.ids[: record.limit])
    rows = {row.item_id: row for row in Answers(folder).rows() if row.item_id in wanted}
    good = {item_id for item_id, row in rows.items() if row.answer is not None}
    options = record.benchmark.options
    found = [
        Answered(
            item_id=item.item_id,
            answer=rows[item.item_id].answer or "",
            references=item.references,
            question=item.question,
            options=item.options or options,
            language=item.language,
            speaker=item.speaker,
            details=item.details,
        )
        for item in items.read(skip=set(items.ids) - good, sound=False)
    ]
    cut = sum(row.complete is False for row in rows.values() if row.answer is not None)
    return found, len(rows) - len(good), cut


def score_run(
    folder: Path, record: Record, items: Items, scorer: Scorer, mode: Mode = "default"
) -> StoredScores:
    """Score all answers and store the scores. Raises RunError if there are no answers."""
    answered, failed, cut = answered_items(folder, record, items)
    if not answered:
        raise RunError(f"{folder} has no answers to score{_first_failure(folder)}")
    scores = scorer.score(answered)
    assert record.benchmark.scorer is not None
    stored = StoredScores(
        scorer=scorer.name,
        options=record.benchmark.scorer.options,
        mode=mode,
        judge=getattr(getattr(scorer, "judge", None), "model", None),
        metrics=tuple(stored_metric(metric) for metric in scores.metrics),
        by_speaker=_by_speaker(answered, scorer),
        total=record.items if record.limit is None else min(record.limit, record.items),
        answered=len(answered),
        failed=failed,
        cut=cut,
        scored=now(),
    )
    _write_item_scores(folder, scores)
    write_json(folder / SCORES_FILE, stored.model_dump(mode="json"))
    return stored


def _by_speaker(answered: Sequence[Answered], scorer: Scorer) -> tuple[SpeakerScore, ...]:
    """Score each speaker's items alone; empty if fewer than two speakers are known."""
    said: dict[str, list[Answered]] = {}
    for item in answered:
        if item.speaker is not None:
            said.setdefault(item.speaker, []).append(item)
    if len(said) < 2:
        return ()
    found = []
    for speaker, items in said.items():
        metric = stored_metric(scorer.score(items).metrics[0])
        found.append((metric, SpeakerScore(speaker=speaker, value=metric.value, count=len(items))))
    sign = -1 if found[0][0].better == "lower" else 1
    found.sort(key=lambda one: (sign * (one[1].value or 0.0), one[1].speaker))
    return tuple(score for _, score in found)


def _first_failure(folder: Path) -> str:
    failed = (row for row in Answers(folder).rows() if row.error is not None)
    first = next(failed, None)
    if first is None:
        return ""
    return (
        f": {1 + sum(1 for _ in failed):,} items failed, the first because of: {first.error} "
        "(--retry-failed asks again)"
    )


def stored_metric(metric: Metric) -> StoredMetric:
    """Return a metric as it is stored."""
    values = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(metric).items()
    }
    return StoredMetric.model_validate(values)


def _write_item_scores(folder: Path, scores: Scores) -> None:
    rows = [
        {
            "item_id": item_score.item_id,
            "value": item_score.value,
            "note": item_score.note,
            "details": json.dumps(dict(item_score.details), ensure_ascii=False),
        }
        for item_score in scores.item_scores
    ]
    temporary = folder / f".{ITEM_SCORES_FILE}.tmp"
    pq.write_table(pa.Table.from_pylist(rows, ITEM_SCORES), temporary, compression="zstd")
    temporary.replace(folder / ITEM_SCORES_FILE)


def read_scores(folder: Path) -> StoredScores | None:
    """Return the scores of a run, or None if there are none; raises RunError."""
    try:
        return StoredScores.model_validate_json((folder / SCORES_FILE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        why = str(error).splitlines()[0]
        raise RunError(f"cannot read {folder / SCORES_FILE}: {why}; try --rescore") from None


def read_item_scores(folder: Path) -> Sequence[ItemScore]:
    """Return the scores of the items of a scored run."""
    return [
        ItemScore(
            row["item_id"], row["value"], row["note"] or "", json.loads(row["details"] or "{}")
        )
        for row in pq.read_table(folder / ITEM_SCORES_FILE).to_pylist()
    ]


def scorer_for(
    benchmark: Benchmark, mode: Mode = "default", judge: Callable[[], Judge] | None = None
) -> Scorer:
    """Return the scorer of a benchmark; `judge` is called only if it needs one.

    Raises RunError for a benchmark that no program can score, and EvaluationError.
    """
    chosen = benchmark.scorer
    if chosen is None:
        why = (
            "it is the mean of other benchmarks: run those, and `wavemill leaderboard` adds it"
            if benchmark.mean_of
            else "people listen to it"
        )
        raise RunError(f"{benchmark.name} cannot be scored: {why}")
    return scorer(chosen.name, chosen.options, mode, judge)


def judge_from_environment(
    cache: Path, progress: Callable[[int, int], None] | None = None
) -> Callable[[], Judge]:
    """Return a function that makes the judge which WAVEMILL_JUDGE_URL and _MODEL name.

    `cache` is a folder for its replies. The function raises EvaluationError if the environment
    names no judge.
    """

    def made() -> Judge:
        return EndpointJudge(JudgeSettings.from_environment(), cache, progress)

    return made
