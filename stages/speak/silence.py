"""Where the silence around speech ends."""

from __future__ import annotations

import numpy as np

FRAME_S = 0.01


def loud_frames(audio: np.ndarray, rate: int, silence_db: float) -> tuple[np.ndarray, int]:
    """Return the numbers of the frames of FRAME_S that are no silence, and the samples of one.

    Loud is what is at most `silence_db` (negative) below the loudest frame.
    """
    frame = max(1, round(FRAME_S * rate))
    frames = np.pad(audio, (0, -len(audio) % frame)).reshape(-1, frame).astype(np.float64)
    power = np.square(frames).mean(axis=1)
    return np.flatnonzero(power > power.max(initial=0.0) * 10 ** (silence_db / 10)), frame


def speech_bounds(audio: np.ndarray, rate: int, silence_db: float) -> tuple[int, int]:
    """Return the first sample of speech and the one behind its last; (0, 0) where all is silent."""
    loud, frame = loud_frames(audio, rate, silence_db)
    if not len(loud):
        return 0, 0
    return int(loud[0]) * frame, min((int(loud[-1]) + 1) * frame, len(audio))
