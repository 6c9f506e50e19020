"""Sound in any form that a person has it, as the waveform that a model hears."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.scratch import scratch_folder

SAMPLE_RATE = 16_000  # Hz, what models hear


class AudioError(ConfigError, ValueError):
    """Something cannot be used as audio: says what, and what to change."""


def waveform(audio: Any, sample_rate: int | None = None, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Return `audio` as mono float32 (samples,) at `rate` Hz, full scale 1.0.

    `audio` is one of

    - a path or URL of any file that FFmpeg decodes, as str or Path;
    - the bytes of such a file;
    - a numpy array or a torch tensor, (samples,), (channels, samples) or (samples, channels): the
      shorter axis is that of the channels. Integers are scaled by the range of their type. Its
      rate is `sample_rate`, in Hz;
    - a pair (array, rate), or a mapping with `array` and `sampling_rate`, with `bytes` or with
      `path`, as a corpus and the package `datasets` have them.

    Channels are mixed as `wavemill curate` mixes them; other rates are resampled with soxr.
    Raises AudioError.
    """
    if isinstance(audio, Mapping):
        audio, sample_rate = _unpacked(audio, sample_rate)
    elif isinstance(audio, tuple) and len(audio) == 2 and not np.isscalar(audio[0]):
        audio, sample_rate = audio
    if isinstance(audio, str | os.PathLike):
        return sound_of(os.fspath(audio), rate)
    if isinstance(audio, bytes | bytearray | memoryview):
        return _of_bytes(bytes(audio), rate)
    return _of_array(_as_numpy(audio), sample_rate, rate)


def sound_of(path: str | Path, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Return a recording as mono float32 (samples,) at `rate` Hz. Raises AudioError."""
    from wavemill.stages.audio.decode import open_audio
    from wavemill.stages.recording_stage import RecordingError

    try:
        with open_audio(str(path)) as opened:
            return _mono(opened, rate)
    except RecordingError as error:
        raise AudioError(error.message) from None


class Cutter:
    """Cuts spans out of recordings; the last recording stays decoded, for more spans of it."""

    def __init__(self) -> None:
        self._last: tuple[Path, np.ndarray] | None = None

    def __call__(self, path: Path, start_s: float, end_s: float | None) -> bytes:
        """Return a span as a FLAC file, mono, 16 kHz. Raises AudioError."""
        from wavemill.model.evaluate.sound import encoded

        if self._last is None or self._last[0] != path:
            self._last = (path, sound_of(path))
        sound = self._last[1]
        end = len(sound) if end_s is None else round(end_s * SAMPLE_RATE)
        return encoded(sound[round(start_s * SAMPLE_RATE) : end], SAMPLE_RATE)


def _mono(opened: Any, rate: int) -> np.ndarray:
    from wavemill.stages.audio.mixing import tracks_of
    from wavemill.stages.audio.resample import resample

    tracks = tracks_of(opened, "mix", opened.sample_rate)
    blocks = [block[0] for block in tracks.blocks]
    return resample(np.concatenate(blocks), opened.sample_rate, rate)


def _unpacked(audio: Mapping[str, Any], sample_rate: int | None) -> tuple[Any, int | None]:
    if audio.get("array") is not None:
        return audio["array"], audio.get("sampling_rate", sample_rate)
    for key in ("bytes", "path"):
        if audio.get(key) is not None:
            return audio[key], None
    raise AudioError(f"audio: none of array, bytes and path among {', '.join(audio) or 'nothing'}")


def _of_bytes(content: bytes, rate: int) -> np.ndarray:
    with scratch_folder() as folder:
        path = Path(folder) / "audio"
        path.write_bytes(content)
        try:
            return sound_of(path, rate)
        except AudioError as error:
            raise AudioError(str(error).replace(str(path), "audio (bytes)")) from None


def _as_numpy(audio: Any) -> np.ndarray:
    if hasattr(audio, "detach"):  # a tensor, without importing torch
        tensor = audio.detach().cpu()
        audio = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    if not isinstance(audio, np.ndarray):
        raise AudioError(
            f"audio: {type(audio).__name__} is not a path, bytes, an array or a tensor"
        )
    return audio


def _of_array(samples: np.ndarray, sample_rate: int | None, rate: int) -> np.ndarray:
    from wavemill.stages.audio.decode import Audio

    if sample_rate is None:
        raise AudioError("audio: the rate of an array is not known; remedy: sample_rate=HZ")
    if sample_rate != int(sample_rate) or sample_rate < 1:
        raise AudioError(f"audio: {sample_rate} is not a sample rate in Hz")
    if samples.ndim not in (1, 2) or not samples.size:
        raise AudioError(
            f"audio: an array of shape {samples.shape} is neither (samples,) nor "
            "(channels, samples)"
        )
    rows = np.atleast_2d(samples)
    if rows.shape[0] > rows.shape[1]:
        rows = rows.T
    rows = np.ascontiguousarray(_scaled(rows), np.float32)
    if not np.isfinite(rows).all():
        raise AudioError("audio: samples that are not finite")
    return _mono(Audio(int(sample_rate), len(rows), iter([rows])), rate)


def _scaled(samples: np.ndarray) -> np.ndarray:
    """Return samples with full scale at 1.0."""
    kind = samples.dtype
    if kind.kind == "f":
        return samples
    if kind.kind not in "iu":
        raise AudioError(f"audio: samples of type {kind} are neither floats nor integers")
    half = 2.0 ** (8 * kind.itemsize - 1)
    return samples / half - (1.0 if kind.kind == "u" else 0.0)
