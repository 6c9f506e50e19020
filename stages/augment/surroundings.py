"""Where a user is: the room, what else is heard, and the telephone; in this order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from wavemill.stages.audio.resample import resample
from wavemill.stages.conversation import drawn
from wavemill.stages.speak.silence import loud_frames

Audio = NDArray[np.float32]
Range = tuple[float, float]
TELEPHONE_RATE = 8_000
TELEPHONE_BAND = (300.0, 3_400.0)  # Hz, ITU-T G.712
MU = 255.0  # ITU-T G.711
DIRECT_S = 0.005  # what arrives so soon is heard as the voice itself


class SurroundingsConfig(BaseModel):
    """Shares of conversations, and ranges from which each draws evenly."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    room_share: float = Field(0.3, ge=0, le=1)
    room_rt60_s: Range = (0.15, 0.6)  # until the sound of a room has fallen by 60 dB
    room_direct_db: Range = (3.0, 15.0)  # of the voice over its reverberation
    noise_share: float = Field(0.3, ge=0, le=1)
    noise_snr_db: Range = (10.0, 30.0)  # of the voice, pauses left out
    telephone_share: float = Field(0.1, ge=0, le=1)
    silence_db: float = Field(-45.0, lt=0)  # below the loudest 10 ms: pauses


@dataclass(frozen=True)
class Surroundings:
    """Of the user of one conversation; None and False: nothing of this kind."""

    rt60_s: float | None
    direct_db: float | None
    noise: str | None  # name of a recording, or `coloured`
    snr_db: float | None
    telephone: bool

    @property
    def quiet(self) -> bool:
        """Whether nothing is changed."""
        return self.rt60_s is None and self.noise is None and not self.telephone


COLOURED = "coloured"


def surroundings_of(
    dialogue_id: str, config: SurroundingsConfig, noises: Sequence[str]
) -> Surroundings:
    """Draw the surroundings of a conversation from its id; `noises` are names of recordings.

    Without any, noise is coloured. The name with the highest hash is taken, so that a further one
    takes its share and moves nothing else.
    """

    def number(what: str) -> float:
        return drawn(config.seed, dialogue_id, "surroundings", what)

    def between(what: str, limits: Range) -> float:
        return round(limits[0] + number(what) * (limits[1] - limits[0]), 2)

    room = number("room") < config.room_share
    noise = number("noise") < config.noise_share
    names = noises or [COLOURED]
    return Surroundings(
        rt60_s=between("rt60", config.room_rt60_s) if room else None,
        direct_db=between("direct", config.room_direct_db) if room else None,
        noise=max(names, key=lambda name: number(f"noise {name}")) if noise else None,
        snr_db=between("snr", config.noise_snr_db) if noise else None,
        telephone=number("telephone") < config.telephone_share,
    )


def surrounded(
    clip: Audio, rate: int, place: Surroundings, noise: Audio | None, key: str, silence_db: float
) -> tuple[Audio, int]:
    """Return a clip as it is heard in its surroundings, and its rate, which telephones lower.

    `clip` and `noise` are float32 (samples,) at `rate`; without `noise`, it is coloured. All that
    is random depends on `key`. The loudness of the voice stays, unless it would clip.
    """
    rng = np.random.default_rng(int(drawn(key, "sound") * 2.0**48))
    made = clip.astype(np.float64)
    if place.rt60_s is not None and place.direct_db is not None:
        made = _in_room(made, rate, place.rt60_s, place.direct_db, rng)
    if place.snr_db is not None:
        made = made + _noise(made, rate, place.snr_db, noise, rng, silence_db)
    peak = float(np.abs(made).max(initial=0.0))
    found = (made / max(peak, 1.0)).astype(np.float32)
    return _by_telephone(found, rate) if place.telephone else (found, rate)


def _in_room(
    clip: NDArray[np.float64], rate: int, rt60_s: float, direct_db: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Add noise that decays exponentially (Polack, 1988), with half its time behind the clip."""
    from scipy.signal import fftconvolve

    times = np.arange(round(rt60_s * rate)) / rate
    tail = rng.standard_normal(len(times)) * 10 ** (-3 * times / rt60_s)
    tail[times < DIRECT_S] = 0.0
    tail *= 10 ** (-direct_db / 20) / max(float(np.linalg.norm(tail)), 1e-12)
    tail[:1] = 1.0
    whole = np.asarray(fftconvolve(clip, tail), np.float64)
    whole = whole[: len(clip) + len(tail) // 2]
    return whole * (float(np.linalg.norm(clip)) / max(float(np.linalg.norm(whole)), 1e-12))


def _noise(
    clip: NDArray[np.float64],
    rate: int,
    snr_db: float,
    noise: Audio | None,
    rng: np.random.Generator,
    silence_db: float,
) -> NDArray[np.float64]:
    from wavemill.model.data.augment import coloured_noise  # imports torch, which takes a second

    if noise is None or not len(noise):
        made = coloured_noise(len(clip), rng, rate).astype(np.float64)
    else:
        start = int(rng.integers(len(noise)))
        made = np.resize(np.roll(noise, -start), len(clip)).astype(np.float64)
    loud, frame = loud_frames(clip, rate, silence_db)
    spoken = _rms(np.pad(clip, (0, -len(clip) % frame)).reshape(-1, frame)[loud])
    return made * (spoken * 10 ** (-snr_db / 20) / max(_rms(made), 1e-12))


def _by_telephone(clip: Audio, rate: int) -> tuple[Audio, int]:
    """Return 8 kHz of the telephone's band, coded and decoded by the mu-law of G.711."""
    from scipy.signal import butter, sosfilt

    narrow = resample(clip, rate, TELEPHONE_RATE)
    band = butter(4, TELEPHONE_BAND, "bandpass", fs=TELEPHONE_RATE, output="sos")
    filtered = np.clip(sosfilt(band, narrow), -1.0, 1.0)
    coded = np.sign(filtered) * np.log1p(MU * np.abs(filtered)) / np.log1p(MU)
    coded = np.round(coded * 127) / 127
    decoded = np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(MU)) / MU
    return decoded.astype(np.float32), TELEPHONE_RATE


def _rms(sound: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))) if sound.size else 0.0
