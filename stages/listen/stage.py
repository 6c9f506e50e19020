"""Listen: every spoken clip is heard again; one that fails is spoken anew.

What was said is written down by the transcriber of `transcribe`, rated by the engine of
`score_audio`, and compared with its voice by the embedding of `diarize`. A clip that breaks a rule
is spoken again with another seed, and then in another voice (the assistant's stays); the first
attempt that passes is taken, else the best. All attempts are recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from wavemill.manifests.recording import Recording
from wavemill.stages.audio.flac import decode_flac, encode_flac
from wavemill.stages.audio.resample import resample
from wavemill.stages.diarize.campplus import WEIGHTS as VOICE_WEIGHTS
from wavemill.stages.engine import Engine, EngineUnavailable
from wavemill.stages.listen.scores import SCORES
from wavemill.stages.listen.words import normalised, word_errors
from wavemill.stages.recording_stage import Upstream
from wavemill.stages.score import stored
from wavemill.stages.score_audio.engine import QualityEngine
from wavemill.stages.speak.engine import Saying, SpeakEngine
from wavemill.stages.speak.lru_cache import LruCache
from wavemill.stages.speak.saying import ClipConfig, said
from wavemill.stages.speak.silence import FRAME_S, loud_frames, speech_bounds
from wavemill.stages.stage import SharedSettings, Stage
from wavemill.stages.tables import batch, field
from wavemill.stages.transcribe.engine import TranscribeEngine
from wavemill.stages.verdict.thresholds import asr_thresholds
from wavemill.stages.verdict_spoken.judging import judged

REFERENCE = "The quick brown fox jumps over the lazy dog, and then it walks home in the rain."
ATTEMPT = pa.struct(
    [
        field("voice", pa.string(), "That it was spoken in"),
        field("seed", pa.int64(), "0: as cast"),
        field("word_error", pa.float64(), "As below"),
        field("broken", pa.list_(pa.string()), "Rules for another attempt that it broke"),
    ]
)
SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Conversation: hash of its messages"),
        field("segment_id", pa.string(), "The message and how it was to be said, as in cast"),
        field("voice", pa.string(), "That it is spoken in"),
        field("seed", pa.int64(), "Of the attempt that is taken"),
        field("sample_rate", pa.int32(), "Of the clip, in Hz"),
        field("audio", pa.binary(), "The clip as FLAC; null: that of speak", True),
        field("heard", pa.string(), "What the transcriber wrote down"),
        *(score.field for score in stored(SCORES)),
        field("attempts", pa.list_(ATTEMPT), "All that were made, in order"),
    ]
)


class _Again(asr_thresholds(SCORES)):  # type: ignore[misc]
    """By which rules a clip is spoken again: unlike the verdict's, they decide what is spoken."""


class ListenSettings(BaseModel):
    """Settings of listen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attempts: int = Field(3, ge=1)
    again: _Again = _Again()
    silence_db: float = Field(-45.0, lt=0)  # below the loudest 10 ms: silence


class _Complete(ListenSettings):
    """Settings with the engines of other stages, which `beside` fills in."""

    transcribe: Any = None
    quality: Any = None
    speak: Any = None
    clip: ClipConfig = ClipConfig()


@dataclass(frozen=True)
class _Try:
    """One attempt at a message."""

    saying: Saying
    audio: np.ndarray
    rate: int
    encoded: bytes | None  # None: what speak has stored
    heard: str
    scores: dict[str, Any]
    broken: tuple[str, ...]


class Listen(Stage[ListenSettings]):
    """The stage."""

    name = "listen"
    version = 2
    inputs = ("speak",)
    schema = SCHEMA
    Settings = ListenSettings
    selected_by = "cast"
    written = True

    _network: Any = None

    @classmethod
    def needs_worker(cls) -> bool:
        return True

    def beside(self, stages: Mapping[str, Stage[Any]]) -> Self:
        """Return the stage with the engines of transcribe, score_audio and speak, not loaded."""
        speak = stages["speak"]
        complete = _Complete(
            **{name: getattr(self.settings, name) for name in ListenSettings.model_fields},
            transcribe=_engine(stages["transcribe"]),
            quality=_engine(stages["score_audio"]),
            speak=_engine(speak),
            clip=speak.settings.clip,
        )
        return type(self)(complete, self.shared_settings)

    def __init__(self, settings: ListenSettings, shared: SharedSettings | None = None) -> None:
        super().__init__(settings, shared)
        self._spoken: dict[str, tuple[np.ndarray, int]] = {}  # the reference in each voice
        self._references: dict[tuple[str, float], NDArray[np.float32] | None] = {}  # and pitch
        self._cache: LruCache[tuple[Any, ...], tuple[_Try, ...]] = LruCache()

    @property
    def _whole(self) -> _Complete:
        if not isinstance(self.settings, _Complete):
            raise EngineUnavailable("listen needs the engines of other stages: see `beside`")
        return self.settings

    def parameters(self) -> dict[str, Any]:
        """Return own settings, and the identities of the engines that listen and speak again."""
        own = self.settings.model_dump(mode="json", include=set(ListenSettings.model_fields))
        whole = self._whole
        engines = {"transcribe": whole.transcribe, "quality": whole.quality, "speak": whole.speak}
        return {
            **own,
            **{name: _identity(engine) for name, engine in engines.items()},
            "voice_weights": VOICE_WEIGHTS.sha256,
        }

    def check(self) -> None:
        VOICE_WEIGHTS.checked()
        for engine in (self._whole.transcribe, self._whole.quality, self._whole.speak):
            engine.check()

    def load(self, device: str) -> None:
        from wavemill.stages.diarize.campplus_network import CamPlusPlus

        whole = self._whole
        self._transcriber: TranscribeEngine[Any] = whole.transcribe
        self._quality: QualityEngine[Any] = whole.quality
        self._speaker: SpeakEngine[Any] = whole.speak
        for engine in (self._transcriber, self._quality, self._speaker):
            engine.load(device)
        self._network = CamPlusPlus.load(VOICE_WEIGHTS.checked(), device)

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        """Yield a row per message. Raises RecordingError where a further attempt fails."""
        clips = {row["segment_id"]: row for row in upstream.table("speak").to_pylist()}
        for row in upstream.table("cast").to_pylist():
            attempts = self._known_attempts(row, clips[row["segment_id"]])
            best = min(attempts, key=lambda one: (bool(one.broken), len(one.broken), _error(one)))
            yield batch(
                [
                    {
                        "recording_id": recording.recording_id,
                        "segment_id": row["segment_id"],
                        "voice": best.saying.voice,
                        "seed": best.saying.seed,
                        "sample_rate": best.rate,
                        "audio": best.encoded,
                        "heard": best.heard,
                        **best.scores,
                        "attempts": [_attempt(one) for one in attempts],
                    }
                ],
                SCHEMA,
            )

    def _known_attempts(self, row: Mapping[str, Any], clip: Mapping[str, Any]) -> tuple[_Try, ...]:
        """Return the attempts at a message; those at the same sound, as of short answers, once."""
        key = (row["text"], row["voice"], row["other_voice"], row["pace"], row["pitch"])
        found = self._cache.get((*key, clip["audio"]))
        if found is None:
            found = tuple(self._attempts(row, clip))
            self._cache.keep((*key, clip["audio"]), found)
        return found

    def _attempts(self, row: Mapping[str, Any], clip: Mapping[str, Any]) -> list[_Try]:
        """Return attempts up to the first that passes, at most as many as allowed."""
        saying, pitch = Saying(row["text"], row["voice"], row["pace"]), row["pitch"]
        audio, rate = decode_flac(clip["audio"])
        made = [self._heard(saying, pitch, audio, rate, None)]
        while made[-1].broken and len(made) < self.settings.attempts:
            saying = replace(saying, seed=len(made))
            if len(made) > 1:
                saying = replace(saying, voice=row["other_voice"])
            audio, rate = said(self._speaker, saying, pitch, self._whole.clip)
            encoded = encode_flac(audio, rate)
            made.append(self._heard(saying, pitch, decode_flac(encoded)[0], rate, encoded))
        return made

    def _heard(
        self, saying: Saying, pitch: float, audio: np.ndarray, rate: int, encoded: bytes | None
    ) -> _Try:
        # Alone: a transcriber may pack clips together, and a text then depends on its neighbours.
        wanted_rate = self._transcriber.sample_rate
        (transcript,) = self._transcriber.transcribe([resample(audio, rate, wanted_rate)])
        wanted, heard = normalised(saying.text), normalised(transcript.text)
        quality = self._quality.quality([resample(audio, rate, self._quality.sample_rate)])[0]
        seconds = len(audio) / rate
        scores = {
            "duration_s": seconds,
            "similarity": self._similarity(saying.voice, pitch, audio, rate),
            "clipped": float(np.mean(np.abs(audio) >= 0.9999)),
            **silences(audio, rate, self.settings.silence_db),
            "dnsmos_overall": quality.overall if quality else None,
            "word_error": word_errors(wanted, heard) / max(len(wanted), 1),
            "asr_confidence": transcript.asr_confidence,
            "words_per_second": len(saying.text.split()) / seconds,
        }
        ids = {"recording_id": "", "segment_id": ""}
        (verdict,) = judged([{**ids, **scores}], self.settings.again, SCORES)
        broken = tuple(rule["rule"] for rule in verdict["broken"])
        return _Try(saying, audio, rate, encoded, transcript.text, scores, broken)

    def _similarity(self, voice: str, pitch: float, audio: np.ndarray, rate: int) -> float | None:
        key = (voice, pitch)
        if key not in self._references:
            # Spoken once for each voice: nearly every conversation has a pitch of its own.
            if voice not in self._spoken:
                reference = Saying(REFERENCE, voice)
                self._spoken[voice] = said(self._speaker, reference, 1.0, self._whole.clip)
            spoken, at = self._spoken[voice]
            self._references[key] = self._embedded(resample(spoken, round(at * pitch), at), at)
        mine, other = self._embedded(audio, rate), self._references[key]
        return None if mine is None or other is None else float(mine @ other)

    def _embedded(self, audio: np.ndarray, rate: int) -> NDArray[np.float32] | None:
        from wavemill.stages.diarize.campplus_network import (
            SAMPLE_RATE,
            SHORTEST_CLIP_S,
            clip_vector,
        )

        if len(audio) < SHORTEST_CLIP_S * rate:  # before a rate rounds its length up
            return None
        return clip_vector(self._network, resample(audio, rate, SAMPLE_RATE))


def silences(audio: np.ndarray, rate: int, silence_db: float) -> dict[str, float]:
    """Return the longest silence at the edges and within a clip, in seconds."""
    first, last = speech_bounds(audio, rate, silence_db)
    loud, _ = loud_frames(audio, rate, silence_db)
    gaps = np.diff(loud) - 1
    return {
        "longest_pause_s": float(gaps.max(initial=0)) * FRAME_S,
        "edge_silence_s": max(first, len(audio) - last) / rate,
    }


def _error(one: _Try) -> float:
    return float(one.scores["word_error"])


def _attempt(one: _Try) -> dict[str, Any]:
    return {
        "voice": one.saying.voice,
        "seed": one.saying.seed,
        "word_error": _error(one),
        "broken": list(one.broken),
    }


def _engine(stage: Stage[Any]) -> Any:
    """Return a new engine like a stage's, so that loading it changes nothing there."""
    engine = getattr(stage, "engine")  # noqa: B009 (of an EngineStage)
    return type(engine)(engine.config)


def _identity(engine: Engine[Any]) -> dict[str, Any]:
    return {
        "engine": engine.name,
        "version": engine.version,
        "parameters": engine.config.fingerprinted(),
        "weights": engine.weights_identity(),
    }
