"""Band-limited resampling of a stream, sample-aligned and of exact length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

QUALITY = "HQ"  # soxr's name; 20 bit precision


def resampled_length(samples: int, source_rate: int, target_rate: int) -> int:
    """Return round(samples * target_rate / source_rate), halves up, in integers."""
    return (2 * samples * target_rate + source_rate) // (2 * source_rate)


def resample_stream(
    blocks: Iterable[np.ndarray], source_rate: int, target_rate: int
) -> Iterator[np.ndarray]:
    """Resample float32 blocks of shape (samples,) or (channels, samples) as one signal.

    Output sample k is at the time of input position k * source_rate / target_rate, and there are
    `resampled_length` of them in total. Equal rates pass the blocks on untouched. Uses soxr.
    """
    if source_rate == target_rate:
        yield from blocks
        return
    import soxr

    resampler: soxr.ResampleStream | None = None
    shape: tuple[int, ...] = ()
    taken = given = 0
    for block in blocks:
        if resampler is None:
            shape = block.shape[:-1]
            channels = shape[0] if shape else 1
            resampler = soxr.ResampleStream(
                source_rate, target_rate, channels, dtype="float32", quality=QUALITY
            )
        taken += block.shape[-1]
        output = resampler.resample_chunk(np.ascontiguousarray(block.T, dtype=np.float32)).T
        given += output.shape[-1]
        if output.shape[-1]:
            yield output
    if resampler is None:
        return
    rest = resampler.resample_chunk(np.zeros((0, *shape), np.float32), last=True).T
    yield fitted(rest, resampled_length(taken, source_rate, target_rate) - given)


def resample(audio: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Resample one float32 array (samples,) or (channels, samples); see `resample_stream`."""
    parts = list(resample_stream([audio], source_rate, target_rate))
    return np.concatenate(parts, axis=-1)


def fitted(audio: np.ndarray, length: int) -> np.ndarray:
    """Cut `audio` (…, samples) to `length`, or fill it up with zeros."""
    missing = length - audio.shape[-1]
    if missing <= 0:
        return audio[..., :length]
    return np.pad(audio, [(0, 0)] * (audio.ndim - 1) + [(0, missing)])


def rechunk(blocks: Iterable[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """Cut a stream of (…, samples) into blocks of exactly `length` samples; the last is shorter."""
    parts: list[np.ndarray] = []
    held = 0
    for block in blocks:
        rest = block
        while held + rest.shape[-1] >= length:
            parts.append(rest[..., : length - held])
            rest = rest[..., length - held :]
            yield np.concatenate(parts, axis=-1)
            parts, held = [], 0
        if rest.shape[-1]:
            parts.append(rest)
            held += rest.shape[-1]
    if parts:
        yield np.concatenate(parts, axis=-1)
