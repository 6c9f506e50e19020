"""Beds, rooms and damage for the example recordings: NumPy in, NumPy out, nothing recorded.

Signals are float64, one channel, shape (samples,); full scale is 1.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, fftconvolve, sosfiltfilt

ACTIVE_FLOOR_DB = 40.0  # frames this far below the loudest one hold no speech
FRAME_SECONDS = 0.01

# A minor, F, C, G: frequencies in Hz, the bass note first.
CHORDS = (
    (110.0, 220.0, 261.63, 329.63),
    (87.31, 174.61, 220.0, 261.63),
    (130.81, 196.0, 261.63, 329.63),
    (98.0, 196.0, 246.94, 293.66),
)
BEAT_SECONDS = 0.45
BEATS_PER_CHORD = 4
HARMONICS = 6
NOTE_DECAY_SECONDS = 0.5


def decibels(value: float) -> float:
    """The amplitude factor of a level in decibels."""
    return float(10.0 ** (value / 20.0))


def active_frames(signal: np.ndarray, sample_rate: int) -> np.ndarray:
    """Which frames of 10 ms hold sound: bool, shape (whole frames,)."""
    size = int(sample_rate * FRAME_SECONDS)
    frames = signal[: len(signal) // size * size].reshape(-1, size)
    power = np.mean(frames**2, axis=1)
    return power > power.max() * decibels(-ACTIVE_FLOOR_DB) ** 2


def active_rms(signal: np.ndarray, sample_rate: int) -> float:
    """Root mean square over the frames that hold sound."""
    active = active_frames(signal, sample_rate)
    size = int(sample_rate * FRAME_SECONDS)
    frames = signal[: len(active) * size].reshape(-1, size)
    return float(np.sqrt(np.mean(frames[active] ** 2)))


def trim(signal: np.ndarray, sample_rate: int) -> np.ndarray:
    """Without the silence before and after, so that the times of the truth are tight."""
    size = int(sample_rate * FRAME_SECONDS)
    active = np.flatnonzero(active_frames(signal, sample_rate))
    return signal[active[0] * size : (active[-1] + 1) * size]


def pink_noise(samples: int, sample_rate: int, random: np.random.Generator) -> np.ndarray:
    """Noise whose power falls by 3 dB an octave above 50 Hz; RMS 1."""
    spectrum = np.fft.rfft(random.standard_normal(samples))
    frequency = np.fft.rfftfreq(samples, 1.0 / sample_rate)
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(frequency, 50.0)), samples)
    return noise / np.sqrt(np.mean(noise**2))


def mains_hum(samples: int, sample_rate: int) -> np.ndarray:
    """50 Hz with its odd harmonics; RMS 1."""
    time = np.arange(samples) / sample_rate
    hum = np.asarray(sum(np.sin(2 * np.pi * 50.0 * k * time + k) / k for k in (1, 3, 5, 7, 9)))
    return hum / np.sqrt(np.mean(hum**2))


def pluck(frequency: float, samples: int, sample_rate: int) -> np.ndarray:
    """One decaying note with a few harmonics."""
    time = np.arange(samples) / sample_rate
    partials = (np.sin(2 * np.pi * frequency * k * time) / k**1.5 for k in range(1, HARMONICS + 1))
    attack = np.minimum(time / 0.01, 1.0)
    return np.asarray(sum(partials)) * attack * np.exp(-time / NOTE_DECAY_SECONDS)


def music(samples: int, sample_rate: int, random: np.random.Generator) -> np.ndarray:
    """A bass on the chord's first beat, single notes of the chord on every half beat; RMS 1."""
    out = np.zeros(samples + 2 * sample_rate)
    half_beat = int(BEAT_SECONDS / 2 * sample_rate)
    for step, start in enumerate(range(0, samples, half_beat)):
        chord = CHORDS[step // (2 * BEATS_PER_CHORD) % len(CHORDS)]
        notes = [2.0 * random.choice(chord[1:])]
        if step % (2 * BEATS_PER_CHORD) == 0:
            notes += [chord[0], *chord[1:]]
        for note in notes:
            out[start : start + 2 * sample_rate] += pluck(note, 2 * sample_rate, sample_rate)
    out = out[:samples]
    return out / np.sqrt(np.mean(out**2))


def reverberate(
    signal: np.ndarray, sample_rate: int, decay_seconds: float, random: np.random.Generator
) -> np.ndarray:
    """In a room: direct sound, then noise that decays by 60 dB in `decay_seconds`, 4 dB below it.

    Same length: what rings on after the end is cut.
    """
    time = np.arange(int(decay_seconds * sample_rate)) / sample_rate
    tail = random.standard_normal(len(time)) * 10.0 ** (-3.0 * time / decay_seconds)
    tail[: int(0.004 * sample_rate)] = 0.0
    tail *= decibels(-4.0) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return fftconvolve(signal, tail)[: len(signal)]


def telephone_band(signal: np.ndarray, sample_rate: int) -> np.ndarray:
    """300 to 3400 Hz, then 8-bit mu-law there and back (ITU-T G.711's curve, mu = 255)."""
    band = butter(4, (300.0, 3400.0), btype="bandpass", fs=sample_rate, output="sos")
    signal = np.clip(sosfiltfilt(band, signal), -1.0, 1.0)
    compressed = np.sign(signal) * np.log1p(255.0 * np.abs(signal)) / np.log(256.0)
    levels = np.round(compressed * 127.0) / 127.0
    return np.sign(levels) * np.expm1(np.abs(levels) * np.log(256.0)) / 255.0
