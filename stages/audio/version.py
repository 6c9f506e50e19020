"""Which audio of a recording a corpus takes: original or enhanced."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from wavemill.manifests.recording import Recording

AudioVersion = Literal["original", "enhanced"]


class AudioVersionSettings(BaseModel):
    """How the audio version is chosen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    enhanced_share: float = Field(default=0.5, ge=0, le=1)  # 1:1 (report section 3.1)


def choose_audio_version(recording: Recording, settings: AudioVersionSettings) -> AudioVersion:
    """Choose by a hash of seed and recording id, so that nothing else can change the choice.

    Labelled recordings are not enhanced: always the original.
    """
    if recording.labelled:
        return "original"
    digest = hashlib.sha256(f"{settings.seed}:{recording.recording_id}".encode()).digest()
    position = int.from_bytes(digest[:8]) / 2**64
    return "enhanced" if position < settings.enhanced_share else "original"
