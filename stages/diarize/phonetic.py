"""How a voice deviates from the average speaker, sound by sound.

The mean cepstrum of a second of speech says more about what was said than about who spoke.
The Gaussians of PocketSphinx's en-us acoustic model (42 phones x 128, in its wheel) describe
each sound as many speakers pronounce it. Model a frame x of speaker s as

    x ~ sum_k w_k N(m_k + o_s, S_k)      m_k, S_k: the model's Gaussians, o_s: the voice

so that the frames' deviations from the sounds that they are, weighted by the precision of each
sound, add up to a statistic of the voice alone: an eigenvoice model (Kenny, Bayesian speaker
verification with heavy-tailed priors, 2010; Kuhn et al., 2000) whose only voice directions are
shifts of the cepstrum. With `first = sum_t sum_k g_tk (x_t - m_k) / S_k` and
`precision = sum_t sum_k g_tk / S_k` the maximum-likelihood voice is first / precision.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavemill.stages.diarize.cepstra import COEFFICIENTS
from wavemill.stages.engine import EngineUnavailable

_FRAMES_AT_ONCE = 500
_MIN_VARIANCE = 1e-4
_MAGIC = 0x11223344


@dataclass(frozen=True, slots=True)
class SoundModel:
    """Gaussians of all sounds over static cepstra; (n, 13) float32 each, constants (n,)."""

    means: NDArray[np.float32]
    precisions: NDArray[np.float32]

    @property
    def scaled_means(self) -> NDArray[np.float32]:
        return self.means * self.precisions

    @property
    def constants(self) -> NDArray[np.float32]:
        return np.sum(self.means**2 * self.precisions - np.log(self.precisions), axis=1)


@dataclass(frozen=True, slots=True)
class VoiceStatistics:
    """Additive statistics of frames, (n, 12) float64: cepstra 1 to 12, not loudness.

    Scaled so that a frame of average speech has precision 1 in each dimension.
    """

    first: NDArray[np.float64]
    precision: NDArray[np.float64]


def model_folder() -> Path:
    """Return the folder of the acoustic model in the wheel. Raises EngineUnavailable."""
    spec = find_spec("pocketsphinx")
    if spec is None or not spec.submodule_search_locations:
        raise EngineUnavailable("package 'pocketsphinx' is not installed; remedy: pip install it")
    folder = Path(spec.submodule_search_locations[0]) / "model" / "en-us" / "en-us"
    if not (folder / "means").is_file():
        raise EngineUnavailable(f"{folder}/means is missing; remedy: pip install pocketsphinx")
    return folder


def load_sounds() -> SoundModel:
    """Read means and variances of the first stream (static cepstra). Raises EngineUnavailable."""
    folder = model_folder()
    means = _read_gaussians(folder / "means")
    variances = np.maximum(_read_gaussians(folder / "variances"), np.float32(_MIN_VARIANCE))
    return SoundModel(means, (1 / variances).astype(np.float32))


def voice_statistics(
    cepstra: NDArray[np.float32], centre: NDArray[np.float32], sounds: SoundModel
) -> VoiceStatistics:
    """Return the statistics of each frame, relative to the mean voice of all the frames.

    `cepstra` is (n, 13), the frames of one recording that are to speak for the voice; `centre`
    (13,) is what the model would call the mean of the recording, which removes the channel.
    """
    if len(cepstra) == 0:
        empty = np.zeros((0, COEFFICIENTS - 1))
        return VoiceStatistics(empty, empty)
    first, precision = _align(cepstra - centre, sounds)
    scale = precision.mean(axis=0)
    first, precision = first / scale, precision / scale
    first -= precision * (first.sum(axis=0) / precision.sum(axis=0))
    return VoiceStatistics(first[:, 1:], precision[:, 1:])


def _align(
    frames: NDArray[np.float32], sounds: SoundModel
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return first-order statistics and precisions of each frame, (n, 13) each."""
    scaled, constants = sounds.scaled_means, sounds.constants
    first = np.empty((len(frames), COEFFICIENTS))
    precision = np.empty_like(first)
    for begin in range(0, len(frames), _FRAMES_AT_ONCE):
        x = frames[begin : begin + _FRAMES_AT_ONCE]
        score = x @ scaled.T - 0.5 * ((x * x) @ sounds.precisions.T + constants)
        score -= score.max(axis=1, keepdims=True)
        share = np.exp(score, out=score)
        share /= share.sum(axis=1, keepdims=True)
        here = share @ sounds.precisions
        precision[begin : begin + len(x)] = here
        first[begin : begin + len(x)] = x * here - share @ scaled
    return first, precision


def _read_gaussians(path: Path) -> NDArray[np.float32]:
    """Read a Sphinx-3 parameter file: text header, then little-endian counts and floats.

    Counts: codebooks, streams, densities, length of each stream, total. Returns the vectors of
    the first stream, (codebooks * densities, 13).
    """
    data = path.read_bytes()
    body = data.index(b"endhdr\n") + len(b"endhdr\n")
    magic, codebooks, streams, densities = struct.unpack_from("<4I", data, body)
    lengths = struct.unpack_from(f"<{streams}I", data, body + 16)
    if magic != _MAGIC or set(lengths) != {COEFFICIENTS}:
        raise EngineUnavailable(f"{path} has another layout than pocketsphinx 5.1's en-us model")
    offset = body + 16 + 4 * streams + 4
    values = np.frombuffer(data, "<f4", codebooks * streams * densities * COEFFICIENTS, offset)
    shaped = values.reshape(codebooks, streams, densities, COEFFICIENTS)
    return np.ascontiguousarray(shaped[:, 0]).reshape(-1, COEFFICIENTS).astype(np.float32)
