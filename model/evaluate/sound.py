"""Sound files to waveforms and back."""

from __future__ import annotations

import io

import numpy as np

SAMPLE_RATE = 16_000  # Hz, what audio models hear
# Of the loudest channel's: a mean has a quarter where one of two is silent, nothing of opposites.
LEAST_POWER = 0.02


class UnreadableSound(ValueError):
    """Bytes that are no sound file that can be decoded: says why."""


def decoded(content: bytes, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Return the sound of a WAV, FLAC, OGG or MP3 file as mono float32 (samples,) at `rate` Hz.

    Channels are averaged; where that cancels them, the loudest is taken. Raises UnreadableSound.
    """
    import soundfile
    import soxr

    try:
        samples, stored = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, TypeError) as error:
        raise UnreadableSound(f"no readable sound: {' '.join(str(error).split())}") from None
    if not len(samples):
        raise UnreadableSound("the sound has no samples")
    mono = _mono(samples)
    resampled = mono if stored == rate else soxr.resample(mono, stored, rate)
    return np.ascontiguousarray(resampled, np.float32)


def _mono(samples: np.ndarray) -> np.ndarray:
    """Return float32 (samples, channels) as one channel: (samples,)."""
    mean = samples.mean(axis=1)
    powers = np.square(samples, dtype=np.float64).sum(axis=0)
    left = np.square(mean, dtype=np.float64).sum()
    return mean if left >= LEAST_POWER * powers.max() else samples[:, int(np.argmax(powers))]


def encoded(samples: np.ndarray, rate: int, form: str = "FLAC") -> bytes:
    """Return float32 (samples,), full scale 1.0, as the content of a FLAC or WAV file, 16 bit."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1.0, 1.0), rate, format=form, subtype="PCM_16")
    return buffer.getvalue()
