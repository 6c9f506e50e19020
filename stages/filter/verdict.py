"""The verdict: a pure function of stored scores and thresholds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from wavemill.manifests.recording import Recording
from wavemill.stages.filter.rules import RULES, Rule
from wavemill.stages.filter.thresholds import LabelledThresholds, RawThresholds, Thresholds
from wavemill.stages.recording_stage import Upstream
from wavemill.stages.stage import Stage
from wavemill.stages.tables import field

BROKEN = pa.struct(
    [
        field("rule", pa.string(), "Name of the rule"),
        field("value", pa.float64(), "The segment's value; null for a rule of texts", True),
        field("value_text", pa.string(), "The segment's value, for a rule of texts", True),
        field("threshold", pa.float64(), "What it was held against; null likewise", True),
        field("threshold_text", pa.string(), "The allowed texts, joined by commas", True),
    ]
)
SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Recording that the segment is of"),
        field("segment_id", pa.string(), "The segment"),
        field("kept", pa.bool_(), "Whether no rule is broken"),
        field("broken", pa.list_(BROKEN), "All broken rules, in the order of the rules"),
    ]
)


class Config(BaseModel):
    """Settings of the verdict."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    raw: RawThresholds = RawThresholds()
    labelled: LabelledThresholds = LabelledThresholds()


class Verdict(Stage[Config]):
    """The stage: joins the scores of a recording and judges them."""

    name = "verdict"
    version = 2
    inputs = ("score_audio", "score_text")
    schema = SCHEMA
    Settings = Config
    section = "filter"

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        del recording  # everything it needs stands in the scores
        scores = join_scores(upstream.table("score_audio"), upstream.table("score_text"))
        yield from judge(scores, self.settings).combine_chunks().to_batches()


def join_scores(score_audio: pa.Table, score_text: pa.Table) -> pa.Table:
    """Return one row per segment with the columns of both tables, in the order of `score_text`.

    Raises ValueError when the two do not have the same segments.
    """
    position = pc.index_in(score_text["segment_id"], value_set=score_audio["segment_id"])
    if position.null_count or len(score_audio) != len(score_text):
        raise ValueError("score_audio and score_text are not of the same segments")
    joined = score_text
    for name in score_audio.column_names:
        if name not in score_text.column_names:
            joined = joined.append_column(name, score_audio[name].take(position))
    return joined


def judge(scores: pa.Table, config: Config) -> pa.Table:
    """Return a table of SCHEMA, row by row for `scores` (see `join_scores`), of any recordings."""
    labelled = pc.equal(scores["text_source"], "manifest").combine_chunks()
    found = _Broken.none()
    for index, rule in enumerate(RULES):
        for thresholds, mask in (
            (config.raw, pc.invert(labelled)),
            (config.labelled, labelled),
        ):
            rows = np.flatnonzero(pc.and_(rule.broken(scores, thresholds), mask).to_numpy(False))
            found.add(rows, index, rule, scores, thresholds)
    broken = found.as_lists(len(scores))
    kept = pc.equal(pc.list_value_length(broken), 0)
    columns = [scores["recording_id"], scores["segment_id"], kept, broken]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


class _Broken:
    """Broken rules as they are found, rule by rule; given back segment by segment."""

    def __init__(self, rows: list[np.ndarray], details: list[pa.Array]) -> None:
        self.rows = rows
        self.details = details

    @classmethod
    def none(cls) -> _Broken:
        return cls([np.zeros(0, np.int64)], [pa.array([], BROKEN)])

    def add(
        self, rows: np.ndarray, index: int, rule: Rule, scores: pa.Table, thresholds: Thresholds
    ) -> None:
        """Note that `rows` break `rule`."""
        if not len(rows):
            return
        self.rows.append(rows * len(RULES) + index)
        self.details.append(_details(rule, scores[rule.column].take(rows), thresholds))

    def as_lists(self, count: int) -> pa.ListArray:
        """Return one list of BROKEN per segment, in the order of RULES."""
        keys = np.concatenate(self.rows)
        order = np.argsort(keys, kind="stable")
        lengths = np.bincount(keys // len(RULES), minlength=count)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        details = pa.concat_arrays(self.details).take(order)
        return pa.ListArray.from_arrays(offsets, details, type=SCHEMA.field("broken").type)


def _details(rule: Rule, values: pa.ChunkedArray, thresholds: Thresholds) -> pa.Array:
    """Return an array of BROKEN, one for each of `values`."""
    count, threshold = len(values), rule.threshold(thresholds)
    numbers, texts = pa.nulls(count, pa.float64()), pa.nulls(count, pa.string())
    if isinstance(threshold, tuple):
        allowed = pa.repeat(pa.scalar(",".join(threshold), pa.string()), count)
        columns = [numbers, values.combine_chunks(), numbers, allowed]
    else:
        limit = pa.repeat(pa.scalar(threshold, pa.float64()), count)
        columns = [values.cast(pa.float64()).combine_chunks(), texts, limit, texts]
    name = pa.repeat(pa.scalar(rule.name, pa.string()), count)
    return pa.StructArray.from_arrays([name, *columns], fields=list(BROKEN))
