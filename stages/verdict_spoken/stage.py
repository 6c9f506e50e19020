"""The verdict on spoken clips: a pure function of what was heard and of thresholds."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from wavemill.manifests.recording import Recording
from wavemill.stages.listen.scores import SCORES
from wavemill.stages.recording_stage import Upstream
from wavemill.stages.score import stored
from wavemill.stages.stage import Stage
from wavemill.stages.tables import batch, field
from wavemill.stages.verdict.stage import BROKEN
from wavemill.stages.verdict.thresholds import AsrThresholds, asr_thresholds
from wavemill.stages.verdict_spoken.judging import judged

SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Conversation: hash of its messages"),
        field("segment_id", pa.string(), "The message and how it was to be said, as in cast"),
        field("kept", pa.bool_(), "Whether no rule is broken"),
        field("broken", pa.list_(BROKEN), "All broken rules"),
    ]
)


class _Settings(asr_thresholds(SCORES)):  # type: ignore[misc]
    """One threshold for each rule; a moved one speaks nothing."""


class VerdictSpoken(Stage[AsrThresholds]):
    """The stage."""

    name = "verdict_spoken"
    version = 1
    inputs = ("cast", "listen")
    schema = SCHEMA
    Settings = _Settings
    written = True

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        columns = ["segment_id", *(score.column for score in stored(SCORES))]
        heard = {row["segment_id"]: row for row in upstream.table("listen", columns).to_pylist()}
        cast = upstream.table("cast", ["segment_id"])["segment_id"].to_pylist()
        rows = [{"recording_id": recording.recording_id, **heard[key]} for key in cast]
        verdicts = judged(rows, self.settings, SCORES)
        if verdicts:
            yield batch([{name: v[name] for name in SCHEMA.names} for v in verdicts], SCHEMA)
