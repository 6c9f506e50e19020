"""Changes of voice and pace: pitch, formants and tempo of a waveform, each by itself.

Spectra are cut into a smooth envelope (the first cepstral coefficients), which is the vocal
tract's, and the rest, which is the voice's (as in vocal tract length perturbation, Jaitly and
Hinton 2013, but with the pitch apart). Tempo changes by a phase vocoder.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr

from wavemill.model.audio import hann, spectra

SAMPLE_RATE = 16_000  # Hz
WINDOW = 512  # samples, 32 ms: some four periods of a low voice
HOP = 128
BINS = WINDOW // 2 + 1
HZ = np.arange(BINS) * (SAMPLE_RATE / WINDOW)
LIFTER = 28  # cepstral coefficients of the envelope: details wider than some 570 Hz
FLOOR = 1e-7  # magnitude below which a bin counts as silent
MAX_SHIFT = 6.0  # nepers that moving an envelope may change a bin by
PACE_SECONDS = 0.1  # between the knots of an uneven pace


@dataclass(frozen=True)
class Change:
    """Factors; 1 leaves a property as it is."""

    pitch: float = 1.0
    formants: float = 1.0
    duration: float = 1.0
    pace: tuple[float, ...] = (1.0,)  # relative speed at evenly spaced knots


def changed(waveform: np.ndarray, change: Change, gain: np.ndarray | None = None) -> np.ndarray:
    """Return a waveform, float32 (samples,) at 16 kHz, with another voice: float32.

    `gain` is added to the log magnitude (nepers) of each of the BINS, a filter. The result has
    about samples * change.duration samples.
    """
    # Resampling moves pitch and formants together; the envelope and the frames are then put right.
    moved = waveform
    if change.pitch != 1.0:
        moved = soxr.resample(waveform, SAMPLE_RATE * change.pitch, SAMPLE_RATE, "LQ")
    spectrum = stft(moved)
    wanted = round(len(waveform) * change.duration)
    if (change.pitch, change.formants, change.duration) != (
        1.0,
        1.0,
        1.0,
    ) or change.pace is not None:
        spectrum = _retimed(spectrum, _places(len(spectrum), wanted, change.pace))
        spectrum = spectrum * np.exp(_shift(spectrum, change.formants / change.pitch))
    if gain is not None:
        spectrum = spectrum * np.exp(gain.astype(np.float32))
    return inverse(spectrum, wanted)


def stft(waveform: np.ndarray) -> np.ndarray:
    """(samples,) -> complex (frames, BINS); frame k is centred on sample k * HOP."""
    padded = np.pad(waveform, (WINDOW // 2, WINDOW // 2 + HOP))
    return spectra(padded, WINDOW, HOP)


def inverse(spectrum: np.ndarray, samples: int) -> np.ndarray:
    """Complex (frames, BINS) -> float32 (samples,), by overlap and add; short of it, silence."""
    frames = np.fft.irfft(spectrum, n=WINDOW) * hann(WINDOW)
    count, parts = len(frames), WINDOW // HOP
    summed = np.zeros((count + parts - 1, HOP), np.float32)
    weight = np.full((count + parts - 1, HOP), 1e-3, np.float32)
    for part in range(parts):
        span = slice(part * HOP, (part + 1) * HOP)
        summed[part : part + count] += frames[:, span]
        weight[part : part + count] += hann(WINDOW)[span] ** 2
    waveform = (summed / weight).reshape(-1)[WINDOW // 2 :][:samples]
    return np.pad(waveform, (0, samples - len(waveform))).astype(np.float32)


def _places(frames: int, samples: int, pace: tuple[float, ...]) -> np.ndarray:
    """Return where in the old frames, as fractions, each new one is."""
    count = max(2, samples // HOP + 2)
    speed = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(pace)), pace)
    travelled = np.cumsum(speed) - speed[0]
    return travelled / travelled[-1] * (frames - 1)


def _retimed(spectrum: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the spectrum at other places, with the phase steps that it has there."""
    before = np.minimum(places.astype(int), len(spectrum) - 2)
    share = (places - before).astype(np.float32)[:, None]
    size = np.abs(spectrum)
    unit = spectrum / np.maximum(size, np.float32(FLOOR))
    # Products of unit numbers are sums of angles, at less than the cost of angles.
    steps = unit[before + 1] * unit[before].conj()
    phase = np.cumprod(np.concatenate([unit[:1], steps[:-1]]), axis=0)
    return ((1 - share) * size[before] + share * size[before + 1]) * phase


def envelope(spectrum: np.ndarray) -> np.ndarray:
    """Return the smooth part of the log magnitude, nepers (frames, BINS)."""
    cepstrum = np.fft.irfft(np.log(np.abs(spectrum) + np.float32(FLOOR)))
    cepstrum[:, LIFTER : WINDOW - LIFTER] = 0
    return np.fft.rfft(cepstrum).real


def _shift(spectrum: np.ndarray, factor: float) -> np.ndarray:
    """Return what to add to log magnitudes so that the envelope moves up by `factor`."""
    old = envelope(spectrum)
    places = np.minimum(np.arange(BINS) / factor, BINS - 1)
    below = np.minimum(places.astype(int), BINS - 2)
    share = (places - below).astype(np.float32)
    new = (1 - share) * old[:, below] + share * old[:, below + 1]
    return np.clip(new - old, -MAX_SHIFT, MAX_SHIFT)
