"""Augmentation: recordings as others might have made them, drawn anew in each epoch.

Waveforms get another voice (pitch, formants, pace), another microphone and room (equaliser,
reverberation, level, noise), silence around them, and holes in time and frequency. The codes are
taken of the result, so that both inputs of the LLM agree.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from wavemill.model.data import voices
from wavemill.model.data.corpus import Conversation, Sound, Spoken
from wavemill.model.data.sound import SoundError, waveform_of
from wavemill.model.data.voices import BINS, HZ, SAMPLE_RATE, Change

Tokenizer = Callable[[np.ndarray], np.ndarray]  # float32 (samples,) at 16 kHz -> int32 (tokens,)
CUT_DB = 26.0  # how much a hole in time or frequency takes away
KNOTS = 8  # of the equaliser, evenly spaced in mel


class AugmentSettings(BaseModel):
    """How much waveforms are changed; the defaults suit corpora of a few speakers.

    Factors are drawn between 1 / x and x, evenly in their logarithm; shares are of waveforms.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    voice_share: float = Field(0.9, ge=0, le=1)  # get another voice: the next four
    pitch: float = Field(1.22, ge=1)
    formants: float = Field(1.16, ge=1)  # length of the vocal tract
    tempo: float = Field(1.28, ge=1)  # of the whole
    pace: float = Field(1.35, ge=1)  # of its parts, against each other
    equaliser_db: float = Field(4.0, ge=0)  # standard deviation at eight points
    slope_share: float = Field(0.3, ge=0, le=1)  # lose lows; and, independently, highs
    band_share: float = Field(0.3, ge=0, le=1)  # lose a band of 100-600 Hz
    gap_share: float = Field(0.2, ge=0, le=1)  # lose 20-80 ms
    reverberation_share: float = Field(0.3, ge=0, le=1)
    silence_s: float = Field(0.15, ge=0)  # at most, before and behind; none in half of the cases
    level_db: tuple[float, float] = (-48.0, -18.0)  # root mean square
    noise_share: float = Field(0.6, ge=0, le=1)  # get noise, white to red
    noise_snr_db: tuple[float, float] = (5.0, 40.0)
    # Conversations whose question is left out, so that the sound alone determines the answer;
    # they are also a third as long.
    bare_share: float = Field(0.0, ge=0, le=1)


def augment(
    waveform: np.ndarray, settings: AugmentSettings, rng: np.random.Generator
) -> np.ndarray:
    """Return a changed waveform, float32 at 16 kHz, of another length; takes float32 (samples,).

    All random numbers come from `rng`. An empty waveform stays empty.
    """
    if not len(waveform):
        return waveform
    change = _drawn(settings, len(waveform), rng)
    sound = voices.changed(waveform, change, _filter(settings, rng))
    if rng.random() < settings.reverberation_share:
        sound = reverberant(sound, rng)
    if rng.random() < settings.gap_share:
        length = int(rng.uniform(0.02, 0.08) * SAMPLE_RATE)
        start = int(rng.uniform(0, max(1, len(sound) - length)))
        sound[start : start + length] *= 10 ** (-CUT_DB / 20)
    sound = _surrounded(sound, settings, rng)
    sound *= _amplitude(rng.uniform(*settings.level_db)) / max(_rms(sound), 1e-6)
    if rng.random() < settings.noise_share:
        snr = rng.uniform(*settings.noise_snr_db)
        sound = sound + coloured_noise(len(sound), rng) * _rms(sound) * _amplitude(-snr)
    return np.clip(sound, -1.0, 1.0).astype(np.float32)


def reverberant(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a sound in a small room: convolved with noise that decays within 30 to 200 ms."""
    length = int(rng.uniform(0.03, 0.2) * SAMPLE_RATE)
    room = rng.standard_normal(length) * np.exp(-6 * np.arange(length) / length)
    room *= rng.uniform(0.02, 0.1)
    room[0] = 1.0
    size = 1 << (len(sound) + length).bit_length()
    spectrum = np.fft.rfft(sound, size) * np.fft.rfft(room, size)
    return np.fft.irfft(spectrum, size)[: len(sound)].astype(np.float32)


def coloured_noise(samples: int, rng: np.random.Generator, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Return noise of level 1 that falls by 0 to 7 dB an octave above 50 Hz: (samples,)."""
    size = 1 << max(1, samples - 1).bit_length()
    count = size // 2 + 1
    spectrum = rng.standard_normal((count, 2), np.float32).view(np.complex64)[:, 0]
    hz = np.arange(count, dtype=np.float32) * (rate / size)
    noise = np.fft.irfft(spectrum / np.maximum(hz, 50.0) ** rng.uniform(0, 1.2), size)[:samples]
    return noise / max(_rms(noise), 1e-12)


def _drawn(settings: AugmentSettings, samples: int, rng: np.random.Generator) -> Change:
    if rng.random() >= settings.voice_share:
        return Change()
    knots = max(3, int(samples / SAMPLE_RATE / voices.PACE_SECONDS) + 2)
    return Change(
        pitch=_factor(settings.pitch, rng),
        formants=_factor(settings.formants, rng),
        duration=_factor(settings.tempo, rng),
        pace=tuple(_factor(settings.pace, rng) for _ in range(knots)),
    )


def _filter(settings: AugmentSettings, rng: np.random.Generator) -> np.ndarray:
    """Return the gain of a microphone, nepers (BINS,)."""
    mel = np.log1p(HZ / 700)
    points = rng.normal(0, settings.equaliser_db, KNOTS)
    db = np.interp(mel, np.linspace(0, mel[-1], KNOTS), points)
    if rng.random() < settings.slope_share:
        below = np.log2(rng.uniform(80, 400) / np.maximum(HZ, 15.0))  # octaves
        db -= np.maximum(below, 0) * rng.uniform(4, 17)
    if rng.random() < settings.slope_share:
        above = np.log2(np.maximum(HZ, 15.0) / rng.uniform(2000, 4000))
        db -= np.maximum(above, 0) * rng.uniform(8, 35)
    if rng.random() < settings.band_share:
        low = rng.uniform(0, 3500)
        db[(low < HZ) & (low + rng.uniform(100, 600) > HZ)] -= CUT_DB
    assert db.shape == (BINS,)
    return db * (np.log(10) / 20)


def _surrounded(
    sound: np.ndarray, settings: AugmentSettings, rng: np.random.Generator
) -> np.ndarray:
    longest = settings.silence_s
    before, behind = (max(0, int(s * SAMPLE_RATE)) for s in rng.uniform(-longest, longest, 2))
    return np.pad(sound, (before, behind))


def _factor(largest: float, rng: np.random.Generator) -> float:
    return float(largest ** rng.uniform(-1, 1))


def _rms(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(sound))))


def _amplitude(db: float) -> float:
    return float(10 ** (db / 20))


@dataclass(frozen=True)
class Augmentation:
    """Changes what the user says, and leaves the assistant's speech, the answer, alone.

    Call it before the conversation is laid out, since sounds change their length:
    `conversation_document(augmentation(conversation, epoch), ...)`.
    """

    settings: AugmentSettings
    tokenizer: Tokenizer  # the one that the corpus was made with
    seed: int = 0

    def __call__(self, conversation: Conversation, epoch: int) -> Conversation:
        """Return the conversation with the sounds that it has in an epoch, counted from 0.

        They depend on the seed, the epoch and the conversation's id alone, so that a resumed
        training gets the same. Sounds that are missing (a corpus read without audio) or cannot
        be decoded stay as they are.
        """
        key = (self.seed, epoch, zlib.crc32(conversation.id.encode()))
        rng = np.random.default_rng(key)
        messages = conversation.messages
        spoken = any(m.role == "user" and m.sound is not None for m in messages)
        if spoken and rng.random() < self.settings.bare_share:
            messages = tuple(m for m in messages if m.role != "user" or m.sound is not None)
        return replace(conversation, messages=tuple(self._message(m, rng) for m in messages))

    def _message(self, message: Spoken, rng: np.random.Generator) -> Spoken:
        if message.role != "user" or message.sound is None or not message.sound.data:
            return message
        try:
            waveform = augment(waveform_of(message.sound.data), self.settings, rng)
        except SoundError:
            return message
        if not len(waveform):
            return message
        return replace(message, sound=Sound(message.sound.data, self.tokenizer(waveform), waveform))
