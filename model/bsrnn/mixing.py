"""Noisy speech made on the fly: clean speech in a room, with noise, at random levels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from wavemill.model.bsrnn.clips import ClipSet

TINY = 1e-9  # keeps divisions by the level of digital silence finite


class MixSettings(BaseModel):
    """How mixtures are drawn; ranges are uniform."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sample_rate: int = Field(48_000, ge=8000)  # Hz
    seconds: float = Field(3.0, gt=0)  # Luo and Yu 2022 train on pieces of 3 s
    snr_db: tuple[float, float] = (-5.0, 20.0)  # speech in the room over noise
    level_dbfs: tuple[float, float] = (-40.0, -10.0)  # RMS of the mixture
    room_share: float = Field(0.5, ge=0, le=1)  # of mixtures with a room
    early_ms: float = Field(
        50.0, ge=0
    )  # reflections that stay in the target, after the direct sound
    noises: int = Field(2, ge=1)  # at most so many are added up
    equalise_db: float = Field(10.0, ge=0)  # noise and speech are filtered at random, up to so much
    quietest_dbfs: float = -45.0  # pieces of speech with a lower RMS are drawn again
    draws: int = Field(10, ge=1)  # at most so often


@dataclass(frozen=True)
class Mixture:
    """Two waveforms, float32 (samples,), aligned."""

    noisy: np.ndarray
    target: np.ndarray


@dataclass(frozen=True)
class Mixer:
    """Draws mixtures. The target is the clean speech, or in a room the speech with its early
    reflections only: the direct sound and what follows within `early_ms`, which listeners do not
    hear apart from it. Late reverberation is to be removed like noise.
    """

    clean: ClipSet
    noise: ClipSet
    rooms: ClipSet
    settings: MixSettings
    responses: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    def draw(
        self, rng: np.random.Generator, snr_db: float | None = None, room: bool | None = None
    ) -> Mixture:
        """Return a mixture, at a random SNR and perhaps in a room where these are None."""
        s = self.settings
        speech = self._speech(rng)
        snr = rng.uniform(*s.snr_db) if snr_db is None else snr_db
        target = heard = speech
        in_room = rng.random() < s.room_share if room is None else room
        if in_room and self.rooms.clips:
            target, heard = self._in_room(rng, speech)
        noise = self._noise(rng)
        noise = noise * (rms(heard) / rms(noise) * 10 ** (-snr / 20))
        noisy = heard + noise
        gain = 10 ** (rng.uniform(*s.level_dbfs) / 20) / rms(noisy)
        return Mixture((gain * noisy).astype(np.float32), (gain * target).astype(np.float32))

    def _speech(self, rng: np.random.Generator) -> np.ndarray:
        s = self.settings
        for _ in range(s.draws):
            speech = self.clean.piece(rng, s.seconds, s.sample_rate)
            if 20 * np.log10(rms(speech)) >= s.quietest_dbfs:
                break
        return equalised(speech, rng, s.equalise_db)

    def _noise(self, rng: np.random.Generator) -> np.ndarray:
        s = self.settings
        total = np.zeros(round(s.seconds * s.sample_rate), np.float32)
        for _ in range(rng.integers(1, s.noises + 1)):
            piece = self.noise.piece(rng, s.seconds, s.sample_rate)
            total += equalised(piece / rms(piece), rng, s.equalise_db)
        return total

    def _in_room(
        self, rng: np.random.Generator, speech: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        from scipy.signal import fftconvolve

        s = self.settings
        response = self._response(int(rng.integers(len(self.rooms.clips))))
        early = response[: max(1, round(s.early_ms / 1000 * s.sample_rate))]
        scale = 1 / max(float(np.linalg.norm(early)), TINY)
        near, all_of_it = (
            fftconvolve(speech, part * scale)[: speech.size] for part in (early, response)
        )
        return near, all_of_it

    def _response(self, number: int) -> np.ndarray:
        """Return a room's impulse response from its direct sound (the highest peak) on."""
        if number not in self.responses:
            clip = self.rooms.clips[number]
            whole = clip.read(0, clip.seconds, self.settings.sample_rate)
            self.responses[number] = whole[int(np.argmax(np.abs(whole))) :]
        return self.responses[number]


def rms(samples: np.ndarray) -> float:
    """Return the root mean square, never zero."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) + TINY


def equalised(samples: np.ndarray, rng: np.random.Generator, most_db: float) -> np.ndarray:
    """Filter by a random smooth curve between -most_db and most_db, of zero phase.

    The knots are an octave apart, so it is the colour that changes and not the sound.
    """
    if most_db == 0:
        return samples
    spectrum = np.fft.rfft(samples)
    octaves = np.log2(np.arange(spectrum.size) + 1.0)
    knots = np.arange(np.ceil(octaves[-1]) + 1)
    gains_db = np.interp(octaves, knots, rng.uniform(-most_db, most_db, knots.size))
    return np.fft.irfft(spectrum * 10 ** (gains_db / 20), samples.size).astype(np.float32)
