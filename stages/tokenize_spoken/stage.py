"""Semantic tokens of the spoken clips that are kept, by the engine of `tokenize`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

import pyarrow as pa

from wavemill.manifests.recording import Recording
from wavemill.model.tokenizer.kmeans import tokens_in
from wavemill.stages.audio.flac import decode_flac
from wavemill.stages.audio.resample import resample
from wavemill.stages.augment.stage import clips_of
from wavemill.stages.recording_stage import Upstream
from wavemill.stages.stage import EngineStage, NoSettings, Stage
from wavemill.stages.tables import batch, field
from wavemill.stages.tokenize.stage import Tokenize, TokenizeSettings

SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Conversation: hash of its messages"),
        field("segment_id", pa.string(), "The message and how it was to be said, as in cast"),
        field("semantic_tokens", pa.list_(pa.int32()), "12.5 a second"),
    ]
)


class TokenizeSpoken(Stage[Any]):
    """The stage; its settings are those of tokenize."""

    name = "tokenize_spoken"
    version = 2
    inputs = ("speak", "listen", "augment")
    schema = SCHEMA
    Settings = NoSettings
    selected_by = "verdict_spoken"
    written = True

    _engine: Any = None

    def beside(self, stages: Mapping[str, Stage[Any]]) -> Self:
        return type(self)(stages["tokenize"].settings, self.shared_settings)

    @classmethod
    def needs_worker(cls) -> bool:
        return True

    def _stage(self) -> EngineStage[TokenizeSettings, Any]:
        return Tokenize(self.settings)

    def parameters(self) -> dict[str, Any]:
        """Return what determines the tokens: engine and weights, without the audio version."""
        whole = self._stage().parameters()
        return {k: v for k, v in whole.items() if k not in ("version", "limits")}

    def file_metadata(self) -> dict[str, str]:
        return self._stage().file_metadata()

    def check(self) -> None:
        self._stage().check()

    def load(self, device: str) -> None:
        stage = self._stage()
        stage.load(device)
        self._engine = stage.engine

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        sounds = clips_of(upstream)
        for key in upstream.table("verdict_spoken", ["segment_id"])["segment_id"].to_pylist():
            audio, rate = decode_flac(sounds[key][0])
            clip = resample(audio, rate, self._engine.sample_rate)
            (codes,) = self._engine.tokens([clip], [tokens_in(len(audio) * 1000 // rate)])
            row = {
                "recording_id": recording.recording_id,
                "segment_id": key,
                "semantic_tokens": codes.tolist(),
            }
            yield batch([row], SCHEMA)
