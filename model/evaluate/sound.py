"""Audio files to waveforms and back."""

from __future__ import annotations

import io

import numpy as np

SAMPLE_RATE = 16_000  # Hz, what audio models hear
# Of the loudest channel. The mean of two channels has a quarter of its power if one is silent, and
# none if they are opposite.
LEAST_POWER = 0.02


class UnreadableSound(ValueError):
    """Bytes that cannot be decoded as an audio file; the message says why."""


def decoded(content: bytes, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Return the audio of a WAV, FLAC, OGG or MP3 file, mono float32 (samples,) at `rate` Hz.

    Channels are averaged; if they cancel each other, the loudest is taken. Raises UnreadableSound.
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
