"""Where the silence around speech ends."""

from __future__ import annotations

import numpy as np

FRAME_S = 0.01


def speech_bounds(audio: np.ndarray, rate: int, silence_db: float) -> tuple[int, int]:
    """Return the first sample of speech and the one behind its last; (0, 0) where all is silent."""
    frame = max(1, round(FRAME_S * rate))
    frames = np.pad(audio, (0, -len(audio) % frame)).reshape(-1, frame).astype(np.float64)
    power = np.square(frames).mean(axis=1)
    if not power.size or power.max() == 0:
        return 0, 0
    loud = np.flatnonzero(power > power.max() * 10 ** (silence_db / 10))
    return int(loud[0]) * frame, min((int(loud[-1]) + 1) * frame, len(audio))
