"""Sound of any file that FFmpeg decodes, for commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wavemill.pipeline.config import ConfigError

SAMPLE_RATE = 16_000  # Hz, what models hear


def sound_of(path: str | Path, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Return a recording as mono float32 (samples,) at `rate`. Raises ConfigError."""
    from wavemill.stages.audio.decode import open_audio
    from wavemill.stages.audio.mixing import tracks_of
    from wavemill.stages.audio.resample import resample
    from wavemill.stages.recording_stage import RecordingError

    try:
        with open_audio(str(path)) as opened:
            tracks = tracks_of(opened, "mix", opened.sample_rate)
            mono = np.concatenate([block[0] for block in tracks.blocks])
            return resample(mono, opened.sample_rate, rate)
    except RecordingError as error:
        raise ConfigError(error.message) from None


class Cutter:
    """Cuts spans out of recordings; the last recording stays decoded, for more spans of it."""

    def __init__(self) -> None:
        self._last: tuple[Path, np.ndarray] | None = None

    def __call__(self, path: Path, start_s: float, end_s: float | None) -> bytes:
        """Return a span as a FLAC file, mono, 16 kHz. Raises ConfigError."""
        from wavemill.model.evaluate.sound import encoded

        if self._last is None or self._last[0] != path:
            self._last = (path, sound_of(path))
        sound = self._last[1]
        end = len(sound) if end_s is None else round(end_s * SAMPLE_RATE)
        return encoded(sound[round(start_s * SAMPLE_RATE) : end], SAMPLE_RATE)
