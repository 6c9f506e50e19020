"""Screen: which written conversations can be spoken at all, by named rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field, field_validator

from wavemill.manifests.copies import EARLIER, NEAREST
from wavemill.manifests.filesystems import anchored
from wavemill.manifests.recording import Recording
from wavemill.stages.conversation import Message, messages_of
from wavemill.stages.recording_stage import Upstream
from wavemill.stages.score import stored
from wavemill.stages.screen import text as texts
from wavemill.stages.screen.benchmarks import BenchmarkTexts, digests
from wavemill.stages.screen.scores import SCORES
from wavemill.stages.stage import Stage
from wavemill.stages.tables import batch, field
from wavemill.stages.verdict.stage import BROKEN
from wavemill.stages.verdict.thresholds import AsrThresholds, asr_thresholds
from wavemill.stages.verdict_spoken.judging import judged

SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Conversation: hash of its messages"),
        field("segment_id", pa.string(), "The same: it is kept or rejected as a whole"),
        *(score.field for score in stored(SCORES)),
        field("kept", pa.bool_(), "Whether no rule is broken"),
        field("broken", pa.list_(BROKEN), "All broken rules"),
    ]
)


class _Settings(asr_thresholds(SCORES)):  # type: ignore[misc]
    """Thresholds, and how scores are made."""

    english_least_words: int = Field(12, ge=1)  # with fewer, nobody can tell the language
    benchmarks: tuple[Path, ...] = ()  # prepared folders, whose questions nobody may learn
    benchmark_words: int = Field(8, ge=1)  # in a row, that both have

    @field_validator("benchmarks")
    @classmethod
    def _from_any_folder(cls, folders: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(Path(anchored(str(folder))) for folder in folders)


class Screen(Stage[AsrThresholds]):
    """The stage: text alone, so a moved threshold costs milliseconds."""

    name = "screen"
    version = 2
    schema = SCHEMA
    Settings = _Settings
    reads_labels = True  # the language that is stated, and copies elsewhere
    written = True

    def parameters(self) -> dict[str, Any]:
        """Return the settings, and what is in the benchmarks in place of where they are."""
        values = super().parameters()
        return {**values, "benchmarks": digests(self.settings.model_dump()["benchmarks"])}

    def load(self, device: str) -> None:
        del device
        values = self.settings.model_dump()
        self._benchmarks = BenchmarkTexts(values["benchmarks"], values["benchmark_words"])

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        del upstream
        messages = messages_of(recording)
        scores = scores_of(messages, recording, self.settings.model_dump()["english_least_words"])
        scores["benchmark_runs"] = sum(self._benchmarks.matches(one.text) for one in messages)
        ids = {"recording_id": recording.recording_id, "segment_id": recording.recording_id}
        yield batch(judged([{**ids, **scores}], self.settings, SCORES), SCHEMA)


def scores_of(messages: list[Message], recording: Recording, least_words: int) -> dict[str, Any]:
    """Return the values of SCORES by column, but for those that benchmarks decide."""
    said = [message.text for message in messages]
    stated = recording.language
    known = json.loads(recording.metadata)
    return {
        "messages": len(said),
        "longest_message": max(map(len, said)),
        "code": sum(map(texts.code_places, said)),
        "table_rows": sum(map(texts.table_rows, said)),
        "formulas": sum(map(texts.formulas, said)),
        "urls": sum(map(texts.urls, said)),
        "longest_list": max(map(texts.longest_list, said)),
        "foreign_letters": texts.foreign_letters(said),
        "symbols": texts.symbols(said),
        "language": stated,
        "english_words": texts.english_words(said, least_words) if stated is None else None,
        "earlier_copies": known.get(EARLIER, 0),
        "nearest_earlier": known.get(NEAREST, 0.0),
    }
