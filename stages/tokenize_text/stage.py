"""Text tokens of every segment that has a text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from wavemill.manifests.recording import Recording
from wavemill.stages.engine import StageSettings, with_engines
from wavemill.stages.recording_stage import Upstream
from wavemill.stages.segments import segments_of
from wavemill.stages.stage import EngineStage
from wavemill.stages.tables import batch, field
from wavemill.stages.tokenize_text.engine import TextTokenizeEngine
from wavemill.stages.tokenize_text.engines import ENGINES

SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Recording that the segment is of"),
        field("segment_id", pa.string(), "The segment; one without a text has no row"),
        field("text_tokens", pa.list_(pa.int32()), "The text in the text tokenizer's ids"),
    ]
)


class TokenizeTextSettings(StageSettings):
    """Settings of tokenize_text."""

    engine: str = "whisper_bpe"


Config = with_engines(TokenizeTextSettings, ENGINES)


class TokenizeText(EngineStage[TokenizeTextSettings, TextTokenizeEngine[Any]]):
    """The stage."""

    name = "tokenize_text"
    version = 1
    inputs = ("diarize", "transcribe")
    schema = SCHEMA
    engines = ENGINES
    Settings = Config
    reads_labels = True

    def file_metadata(self) -> dict[str, str]:
        return {"text_tokenizer": f"{self.engine.name} {self.engine.weights_identity()}"}

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        texts = texts_of(recording, upstream)
        rows = [
            {"recording_id": recording.recording_id, "segment_id": key, "text_tokens": ids}
            for key, ids in zip(texts, self.engine.encode(list(texts.values())), strict=True)
        ]
        if rows:
            yield batch(rows, SCHEMA)


def texts_of(recording: Recording, upstream: Upstream) -> dict[str, str]:
    """Return the text of every segment that has one, by segment_id, in the order of segments."""
    if recording.labelled:
        segments = segments_of(recording, upstream)
        return {s.segment_id: s.item.text for s in segments if s.item and s.item.text is not None}
    rows = upstream.table("transcribe", ["segment_id", "text"]).to_pylist()
    return {row["segment_id"]: row["text"] for row in rows}
