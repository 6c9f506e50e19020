"""The stages' engines as those who judge generated speech."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from wavemill.model.evaluate.runs.speech import Listener, Listeners
from wavemill.pipeline.config import load_config
from wavemill.pipeline.curation import Config
from wavemill.pipeline.library.sound import sound_of
from wavemill.stages.engine import Engine
from wavemill.stages.score_audio.stage import ScoreAudio
from wavemill.stages.transcribe.engine import TranscribeEngine
from wavemill.stages.transcribe.stage import Transcribe

E = TypeVar("E", bound=Engine[Any])


def listeners(
    profile: str,
    overrides: Sequence[str],
    device: str,
    voice: Path | None = None,
    speaker_model: Path | None = None,
) -> Listeners:
    """Load the engines that a profile names for transcribe and filter.

    `voice` is the recording that answers should sound like, and `speaker_model` a checkpoint of
    pyannote.audio; without either, voices are not compared. Raises ConfigError and
    EngineUnavailable.
    """
    config = load_config(Config, profile, None, overrides)
    transcriber = _loaded(Transcribe(config.settings_of(Transcribe)).engine, device)
    rater = _loaded(ScoreAudio(config.settings_of(ScoreAudio)).engine, device)

    def texts(clips: Sequence[np.ndarray]) -> list[str | None]:
        return [transcript.text for transcript in transcriber.transcribe(clips)]

    def qualities(clips: Sequence[np.ndarray]) -> list[float | None]:
        found = rater.quality(clips)
        return [None if quality is None else quality.overall for quality in found]

    return Listeners(
        Listener(_name(transcriber), transcriber.sample_rate, texts),
        Listener(_name(rater), rater.sample_rate, qualities),
        None if voice is None or speaker_model is None else _voice(voice, speaker_model),
    )


def heard_in(recording: Path, profile: str) -> str:
    """Return what the transcriber of a profile hears in a recording.

    Raises ConfigError and EngineUnavailable.
    """
    engine = transcriber_of(profile)
    (transcript,) = engine.transcribe([sound_of(recording, engine.sample_rate)])
    return transcript.text


def transcriber_of(profile: str) -> TranscribeEngine[Any]:
    """Load the transcriber of a profile onto the CPU. Raises ConfigError, EngineUnavailable."""
    config = load_config(Config, profile, None, [])
    return _loaded(Transcribe(config.settings_of(Transcribe)).engine, "cpu")


def _loaded(engine: E, device: str) -> E:
    engine.check()
    engine.load(device)
    return engine


def _name(engine: Any) -> str:
    return f"{engine.name} {engine.version}, {engine.weights_identity()}"


def _voice(voice: Path, speaker_model: Path) -> Listener[float]:
    from wavemill.stages.diarize.speaker_model import SpeakerModel

    model = SpeakerModel(speaker_model)
    (wanted,) = model.voices([sound_of(voice, model.sample_rate)])

    def similarities(clips: Sequence[np.ndarray]) -> list[float | None]:
        return [float(wanted @ found) for found in model.voices(clips)]

    return Listener(f"pyannote {speaker_model.name}", model.sample_rate, similarities)
