"""Log-mel frames whose grid fits the semantic tokens, and the way back to a waveform.

Everything is in numpy. Levels are in decibels of power, so an error can be read as decibels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SAMPLE_RATE = 16_000  # Hz
TOKEN_MS = 80  # one semantic token; 12.5 of them a second (report section 2.2)
FRAMES_PER_TOKEN = 4  # the report's detokenizer repeats a token four times (section 2.4)
FRAME_MS = TOKEN_MS // FRAMES_PER_TOKEN  # 20 ms: 50 frames a second
HOP = SAMPLE_RATE * FRAME_MS // 1000  # 320 samples
TOKEN_SAMPLES = HOP * FRAMES_PER_TOKEN  # 1280 samples
WINDOW = 1024  # samples, 64 ms: overlaps of two thirds let Griffin-Lim find phases
MARGIN = (WINDOW - HOP) // 2  # samples on each side of a hop, so that it sits mid-window
N_BINS = WINDOW // 2 + 1  # 513 bins of 15.6 Hz
N_MELS = 80  # bands from 0 to 8000 Hz
SILENCE = 1e-12  # power below which a band counts as digital silence: -120 dB
DYNAMIC_RANGE_DB = 60.0  # kept below an utterance's level: what is softer is its noise floor
FRAMES_AT_ONCE = 4096  # bounds memory: 82 s


def tokens_in(duration_ms: int) -> int:
    """Return the number of semantic tokens of a duration: ceil(duration_ms / 80)."""
    return -(-duration_ms // TOKEN_MS)


@lru_cache(maxsize=1)
def mel_filters() -> np.ndarray:
    """Return triangular filters (N_MELS, N_BINS), float32, evenly spaced on the HTK mel scale."""
    top = 2595.0 * np.log10(1.0 + SAMPLE_RATE / 2 / 700.0)
    corners = 700.0 * (10.0 ** (np.linspace(0.0, top, N_MELS + 2) / 2595.0) - 1.0)
    bins = np.arange(N_BINS) * (SAMPLE_RATE / WINDOW)
    low, centre, high = (corners[i : i + N_MELS, None] for i in range(3))
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


@lru_cache(maxsize=1)
def window() -> np.ndarray:
    """Return a periodic Hann window (WINDOW,), float32."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


def log_mel(audio: np.ndarray, frames: int) -> np.ndarray:
    """Return the log-mel power of `audio` in dB: (frames, N_MELS), float32.

    `audio` is float32 (samples,) at SAMPLE_RATE. Frame k is centred on the k-th hop of 20 ms;
    the audio is filled up with silence, or cut, to `frames` hops.
    """
    padded = np.zeros(frames * HOP + 2 * MARGIN, np.float32)
    used = min(len(audio), frames * HOP)
    padded[MARGIN : MARGIN + used] = audio[:used]
    output = np.empty((frames, N_MELS), np.float32)
    for first in range(0, frames, FRAMES_AT_ONCE):
        last = min(first + FRAMES_AT_ONCE, frames)
        spectrum = np.abs(_stft(padded[first * HOP : last * HOP + 2 * MARGIN])) ** 2
        output[first:last] = 10.0 * np.log10(np.maximum(spectrum @ mel_filters().T, SILENCE))
    return output


def level_db(mel: np.ndarray) -> float:
    """Return an utterance's level: mean power of its frames, summed over bands, in dB."""
    return float(10.0 * np.log10(np.mean(np.sum(10.0 ** (mel.astype(np.float64) / 10.0), axis=1))))


def normalise(mel: np.ndarray) -> np.ndarray:
    """Return `mel` (frames, N_MELS) relative to its own level, cut off at -DYNAMIC_RANGE_DB.

    Makes tokens independent of the gain of a recording; adding `level_db` undoes it.
    """
    if not len(mel):
        return mel
    return np.maximum(mel - np.float32(level_db(mel)), np.float32(-DYNAMIC_RANGE_DB))


def stack(mel: np.ndarray) -> np.ndarray:
    """Return (tokens * FRAMES_PER_TOKEN, N_MELS) as (tokens, FRAMES_PER_TOKEN * N_MELS)."""
    return mel.reshape(-1, FRAMES_PER_TOKEN * N_MELS)


def unstack(stacks: np.ndarray) -> np.ndarray:
    """Undo `stack`: (tokens, FRAMES_PER_TOKEN * N_MELS) as (tokens * FRAMES_PER_TOKEN, N_MELS)."""
    return stacks.reshape(-1, N_MELS)


def waveform(mel: np.ndarray, iterations: int = 60, seed: int = 0) -> np.ndarray:
    """Return audio (frames * HOP,), float32, whose log-mel in dB is near `mel` (frames, N_MELS).

    Band powers are spread over their bins (clipped pseudo-inverse of the filters), phases are
    found by fast Griffin-Lim (Perraudin et al. 2013, momentum 0.99).
    """
    if not len(mel):
        return np.zeros(0, np.float32)
    power = 10.0 ** (mel.astype(np.float64) / 10.0) @ np.linalg.pinv(mel_filters()).T
    magnitude = np.sqrt(np.maximum(power, 0.0)).astype(np.float32)
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, magnitude.shape)
    spectrum = magnitude * np.exp(1j * phases)
    previous = np.zeros_like(spectrum)
    for _ in range(iterations):
        consistent = _stft(_inverse_stft(spectrum))
        ahead = consistent + 0.99 * (consistent - previous)
        previous = consistent
        spectrum = magnitude * np.exp(1j * np.angle(ahead))
    return _inverse_stft(spectrum)[MARGIN : MARGIN + len(mel) * HOP].astype(np.float32)


def _stft(padded: np.ndarray) -> np.ndarray:
    """(frames * HOP + 2 * MARGIN,) -> complex (frames, N_BINS)."""
    pieces = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    return np.fft.rfft(pieces * window(), axis=1)


def _inverse_stft(spectrum: np.ndarray) -> np.ndarray:
    """Complex (frames, N_BINS) -> (frames * HOP + 2 * MARGIN,): least-squares overlap-add."""
    pieces = np.fft.irfft(spectrum, n=WINDOW, axis=1) * window()
    output = np.zeros(len(spectrum) * HOP + 2 * MARGIN)
    weight = np.full(len(output), 1e-3)  # keeps the outermost samples finite
    for index, piece in enumerate(pieces):
        span = slice(index * HOP, index * HOP + WINDOW)
        output[span] += piece
        weight[span] += window() ** 2
    return output / weight
