"""Sound files to waveforms and back."""

from __future__ import annotations

import io

import numpy as np

SAMPLE_RATE = 16_000  # Hz, what audio models hear


class UnreadableSound(ValueError):
    """Bytes that are no sound file that can be decoded: says why."""


def decoded(content: bytes, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Return the sound of a WAV, FLAC, OGG or MP3 file as mono float32 (samples,) at `rate` Hz.

    Channels are averaged. Raises UnreadableSound.
    """
    import soundfile
    import soxr

    try:
        samples, stored = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, TypeError) as error:
        raise UnreadableSound(f"no readable sound: {' '.join(str(error).split())}") from None
    mono = samples.mean(axis=1)
    if not len(mono):
        raise UnreadableSound("the sound has no samples")
    resampled = mono if stored == rate else soxr.resample(mono, stored, rate)
    return np.ascontiguousarray(resampled, np.float32)


def encoded(samples: np.ndarray, rate: int, form: str = "FLAC") -> bytes:
    """Return float32 (samples,), full scale 1.0, as the content of a FLAC or WAV file, 16 bit."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1.0, 1.0), rate, format=form, subtype="PCM_16")
    return buffer.getvalue()
