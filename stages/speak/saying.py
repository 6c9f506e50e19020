"""From what an engine says to a clip: pitch, edges and level."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from wavemill.manifests.reasons import Reason
from wavemill.stages.audio.resample import resample
from wavemill.stages.recording_stage import RecordingError
from wavemill.stages.speak.engine import NotSpoken, Saying, SpeakEngine, UnknownVoice
from wavemill.stages.speak.silence import speech_bounds


class ClipConfig(BaseModel):
    """How clips are finished."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    edge_s: float = Field(0.15, ge=0)  # of silence that is left before and after the speech
    silence_db: float = Field(-45.0, lt=0)  # below the loudest 10 ms: silence
    peak: float = Field(0.9, gt=0, le=1)  # what is louder is scaled down to it


def said(
    engine: SpeakEngine[Any], saying: Saying, pitch: float, config: ClipConfig
) -> tuple[np.ndarray, int]:
    """Return a clip, float32 (samples,), and its rate.

    The pitch, with the formants, is changed by playing faster what was said more slowly. Raises
    RecordingError: `unknown_voice`, `not_spoken`, `server_down`.
    """
    try:
        slower = Saying(saying.text, saying.voice, saying.pace / pitch, saying.seed)
        audio, rate = engine.speak(slower)
    except UnknownVoice as error:
        raise RecordingError("unknown_voice", str(error)) from None
    except NotSpoken as error:
        reason = Reason.SERVER_DOWN if error.passing else "not_spoken"
        raise RecordingError(reason, str(error)) from None
    if pitch != 1.0:
        audio = resample(audio, round(rate * pitch), rate)
    audio = trimmed(audio, rate, config)
    peak = float(np.abs(audio).max(initial=0.0))
    if peak == 0.0:
        raise RecordingError("not_spoken", "the engine gave silence")
    return (audio * np.float32(config.peak / peak) if peak > config.peak else audio), rate


def trimmed(audio: np.ndarray, rate: int, config: ClipConfig) -> np.ndarray:
    """Return audio with `edge_s` of silence on each side of the speech, zeros where it lacked."""
    first, last = speech_bounds(audio, rate, config.silence_db)
    edge = round(config.edge_s * rate)
    padded = np.pad(audio, edge)
    return padded[first : last + 2 * edge]
