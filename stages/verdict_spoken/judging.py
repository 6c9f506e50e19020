"""Rules on rows of scores, by the machinery of the verdict on recordings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from wavemill.stages.score import Score, stored
from wavemill.stages.verdict.stage import judge_by
from wavemill.stages.verdict.thresholds import AsrThresholds


def judged(
    rows: list[dict[str, Any]], thresholds: AsrThresholds, scores: Sequence[Score]
) -> list[dict[str, Any]]:
    """Return the rows, which have both ids and the columns of `scores`, with `kept`, `broken`."""
    ids = [(name, pa.string()) for name in ("recording_id", "segment_id")]
    schema = pa.schema([*ids, *(score.field for score in stored(scores))])
    table = pa.Table.from_pylist(rows, schema=schema)
    everywhere = pa.repeat(True, len(rows))
    verdicts = judge_by(table, [(thresholds, everywhere)], scores).to_pylist()
    return [
        {**row, "kept": verdict["kept"], "broken": verdict["broken"]}
        for row, verdict in zip(rows, verdicts, strict=True)
    ]
