"""Recordings of noise that users of conversations may be in: files, and folders of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavemill.stages.audio.decode import open_audio
from wavemill.stages.audio.resample import resample
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.recording_stage import RecordingError
from wavemill.stages.weights import sha256_of_file

LONGEST_S = 60.0  # of a recording that is taken
SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a"})


class Noises:
    """The recordings by name: the hash of the content, so that moving them changes nothing."""

    def __init__(self, places: Sequence[Path]) -> None:
        """Find the recordings below `places`. Raises EngineUnavailable where there are none."""
        self._files = {sha256_of_file(file)[:16]: file for file in _files(places)}
        self.names = sorted(self._files)
        self._decoded = lru_cache(maxsize=8)(self._decode)

    def sound(self, name: str, rate: int) -> NDArray[np.float32]:
        """Return mono audio at `rate`, float32 (samples,). Raises RecordingError."""
        audio, own_rate = self._decoded(name)
        return resample(audio, own_rate, rate)

    def _decode(self, name: str) -> tuple[NDArray[np.float32], int]:
        file = self._files[name]
        blocks, samples = [], 0
        try:
            with open_audio(str(file)) as audio:
                for block in audio.blocks:
                    blocks.append(block.mean(axis=0, dtype=np.float32))
                    samples += block.shape[-1]
                    if samples >= LONGEST_S * audio.sample_rate:
                        break
                return np.concatenate(blocks), audio.sample_rate
        except RecordingError as error:
            raise RecordingError("bad_noise", f"augment.noises: {file}: {error}") from None


def _files(places: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for place in places:
        below = [place] if place.is_file() else sorted(place.rglob("*"))
        sounds = [file for file in below if file.suffix.lower() in SUFFIXES and file.is_file()]
        if not sounds:
            raise EngineUnavailable(
                f"augment.noises: {place} has no recordings ({', '.join(sorted(SUFFIXES))}); "
                "remedy: name files or folders of noise, or none for coloured noise"
            )
        found += sounds
    return found
