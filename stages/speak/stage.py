"""Speak: every message that is cast, as sound."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from wavemill.manifests.recording import Recording
from wavemill.stages.audio.flac import encode_flac
from wavemill.stages.engine import StageSettings, with_engines
from wavemill.stages.recording_stage import Upstream
from wavemill.stages.speak.engine import Saying, SpeakEngine
from wavemill.stages.speak.engines import ENGINES
from wavemill.stages.speak.lru_cache import LruCache
from wavemill.stages.speak.saying import ClipConfig, said
from wavemill.stages.stage import EngineStage
from wavemill.stages.tables import batch, field

SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Conversation: hash of its messages"),
        field("segment_id", pa.string(), "The message and how it is said, as in cast"),
        field("sample_rate", pa.int32(), "Of audio, in Hz"),
        field("duration_ms", pa.int64(), "Length of the clip"),
        field("audio", pa.binary(), "The clip as FLAC, mono, 16 bit"),
    ]
)


class SpeakSettings(StageSettings):
    """Settings of speak."""

    engine: str = "kokoro"
    clip: ClipConfig = ClipConfig()


Config = with_engines(SpeakSettings, ENGINES)


class Speak(EngineStage[SpeakSettings, SpeakEngine[Any]]):
    """The stage; it says only what was never said in this way."""

    name = "speak"
    version = 1
    schema = SCHEMA
    engines = ENGINES
    Settings = Config
    selected_by = "cast"
    written = True

    @cached_property
    def _cache(self) -> LruCache[tuple[Saying, float], tuple[np.ndarray, int]]:
        return LruCache()

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        """Yield a row per message. Raises RecordingError, as `said` does."""
        for row in upstream.table("cast").to_pylist():
            audio, rate = self._said(Saying(row["text"], row["voice"], row["pace"]), row["pitch"])
            made = {
                "recording_id": recording.recording_id,
                "segment_id": row["segment_id"],
                "sample_rate": rate,
                "duration_ms": len(audio) * 1000 // rate,
                "audio": encode_flac(audio, rate),
            }
            yield batch([made], SCHEMA)

    def _said(self, saying: Saying, pitch: float) -> tuple[np.ndarray, int]:
        """Return a clip; what is said again in the same way, as short answers are, is kept."""
        found = self._cache.get((saying, pitch))
        if found is None:
            found = said(self.engine, saying, pitch, self.settings.clip)
            self._cache.keep((saying, pitch), found)
        return found
