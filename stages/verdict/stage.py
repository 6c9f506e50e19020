"""The verdict: a pure function of stored scores and thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, create_model

from wavemill.manifests.recording import Recording
from wavemill.stages.recording_stage import Upstream
from wavemill.stages.score import Rule, Score, derived, rules_of
from wavemill.stages.stage import EngineStage, Stage
from wavemill.stages.tables import field
from wavemill.stages.verdict.thresholds import (
    AsrThresholds,
    LabelledThresholds,
    Thresholds,
    asr_thresholds,
    labelled_thresholds,
)

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


class VerdictSettings(BaseModel):
    """Thresholds for both kinds of input; `settings_class` adds a field for each rule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    asr: AsrThresholds = AsrThresholds()
    labelled: LabelledThresholds = LabelledThresholds()


class Verdict(Stage[VerdictSettings]):
    """The stage: joins the scores of a recording and judges them.

    The class as it stands knows no scores; `among` makes one that judges by those of other stages.
    """

    name = "verdict"
    version = 2
    schema = SCHEMA
    Settings = VerdictSettings
    section = "filter"
    judged: ClassVar[Mapping[str, Sequence[str]]] = {}  # stage -> the columns that are read
    known: ClassVar[tuple[Score, ...]] = ()  # all scores that there are

    @classmethod
    def among(cls, stages: Sequence[type[Stage[Any]]]) -> type[Verdict]:
        """Return the stage that judges by the scores that `stages` declare."""
        scoring = [stage for stage in stages if stage.scores]
        known = tuple(score for stage in scoring for score in stage.scores)
        fields = {
            "inputs": tuple(stage.name for stage in scoring),
            "judged": {stage.name: stage.schema.names for stage in scoring},
            "known": known,
            "Settings": settings_class(known),
            "__module__": cls.__module__,
            "__doc__": cls.__doc__,
        }
        return type("Verdict", (cls,), fields)

    def beside(self, stages: Mapping[str, Stage[Any]]) -> Self:
        """Return the stage with the thresholds that the engines of other stages declare."""
        declared: dict[str, float] = {}
        for stage in stages.values():
            if isinstance(stage, EngineStage):
                declared |= stage.engine.thresholds()
        return type(self)(with_engine(self.settings, declared), self.shared_settings)

    def parameters(self) -> dict[str, Any]:
        """Return both sets of thresholds; `asr` is hashed as "raw", which it was called once."""
        dumped = self.settings.model_dump(mode="json")
        return {"raw": dumped["asr"], "labelled": dumped["labelled"]}

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        del recording  # everything it needs stands in the scores
        tables = [upstream.table(name, list(columns)) for name, columns in self.judged.items()]
        verdicts = judge(join_scores(tables), self.settings, self.known)
        yield from verdicts.combine_chunks().to_batches()


def settings_class(scores: Sequence[Score]) -> type[VerdictSettings]:
    """Return VerdictSettings with a threshold for every rule of `scores`."""
    kinds: dict[str, Any] = {
        "asr": asr_thresholds(scores),
        "labelled": labelled_thresholds(scores),
    }
    fields: dict[str, Any] = {name: (kind, kind()) for name, kind in kinds.items()}
    return create_model("VerdictSettings", __base__=VerdictSettings, **fields)


def with_engine(settings: VerdictSettings, declared: Mapping[str, float]) -> VerdictSettings:
    """Return settings with numbers where they say "engine"; see `Thresholds.with_engine`."""
    return settings.model_copy(
        update={
            "asr": settings.asr.with_engine(declared),
            "labelled": settings.labelled.with_engine(declared),
        }
    )


def join_scores(tables: Sequence[pa.Table]) -> pa.Table:
    """Return one row per segment with the columns of all tables, in the order of the first.

    Raises ValueError when they do not have the same segments.
    """
    joined, *others = tables
    for other in others:
        position = pc.index_in(joined["segment_id"], value_set=other["segment_id"])
        if position.null_count or len(other) != len(joined):
            raise ValueError("the tables of scores are not of the same segments")
        for name in other.column_names:
            if name not in joined.column_names:
                joined = joined.append_column(name, other[name].take(position))
    return joined


def judge(scores: pa.Table, settings: VerdictSettings, known: Sequence[Score]) -> pa.Table:
    """Return a table of SCHEMA, row by row for `scores` (see `join_scores`), of any recordings.

    `known` are the scores whose rules are tested; `scores` has the columns of those that are
    stored, and `text_source`.
    """
    labelled = pc.equal(scores["text_source"], "manifest").combine_chunks()
    return judge_by(
        scores, [(settings.asr, pc.invert(labelled)), (settings.labelled, labelled)], known
    )


def judge_by(
    scores: pa.Table, sets: Sequence[tuple[Thresholds, pa.BooleanArray]], known: Sequence[Score]
) -> pa.Table:
    """Return a table of SCHEMA, as `judge` does, with the rows to which each set applies."""
    for score in derived(known):
        scores = scores.append_column(score.column, score.values(scores))
    rules = rules_of(known)
    found = _Broken(len(rules))
    for index, rule in enumerate(rules):
        for thresholds, mask in sets:
            rows = np.flatnonzero(pc.and_(rule.broken(scores, thresholds), mask).to_numpy(False))
            found.add(rows, index, rule, scores, thresholds)
    broken = found.as_lists(len(scores))
    kept = pc.equal(pc.list_value_length(broken), 0)
    columns = [scores["recording_id"], scores["segment_id"], kept, broken]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


class _Broken:
    """Broken rules as they are found, rule by rule; given back segment by segment."""

    def __init__(self, rules: int) -> None:
        self._rules = rules
        self._keys = [np.zeros(0, np.int64)]
        self._details: list[pa.Array] = [pa.array([], BROKEN)]

    def add(
        self, rows: np.ndarray, index: int, rule: Rule, scores: pa.Table, thresholds: Thresholds
    ) -> None:
        """Note that `rows` break `rule`, which is number `index`."""
        if len(rows):
            self._keys.append(rows * self._rules + index)
            self._details.append(_details(rule, scores[rule.column].take(rows), thresholds))

    def as_lists(self, count: int) -> pa.ListArray:
        """Return one list of BROKEN per segment, in the order of the rules."""
        keys = np.concatenate(self._keys)
        order = np.argsort(keys, kind="stable")
        lengths = np.bincount(keys // max(self._rules, 1), minlength=count)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        details = pa.concat_arrays(self._details).take(order)
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
