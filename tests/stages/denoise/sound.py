"""Sound for denoisers, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from wavemill.stages.denoise.engine import DenoiseEngine


def noise(samples: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(5).standard_normal(samples)).astype(np.float32)


def run(engine: DenoiseEngine[Any], *blocks: np.ndarray) -> np.ndarray:
    return np.concatenate(list(engine.enhance(iter(blocks))))


def lag_of(enhanced: np.ndarray, audio: np.ndarray) -> int:
    """Return by how many samples `enhanced` is late."""
    n = 1 << (2 * audio.size).bit_length()
    cross = np.fft.irfft(np.fft.rfft(enhanced, n) * np.conj(np.fft.rfft(audio, n)))
    lag = int(np.argmax(cross))
    return lag - n if lag > n // 2 else lag


def assert_calls_are_independent(engine: DenoiseEngine[Any]) -> None:
    first, second = noise(20_000), noise(20_000)[::-1] * 5
    alone = run(engine, first)
    both = zip(engine.enhance(iter([first])), engine.enhance(iter([second])), strict=True)
    np.testing.assert_array_equal(np.concatenate([pair[0] for pair in both]), alone)
    np.testing.assert_array_equal(run(engine, first), alone)


def leave_early(engine: DenoiseEngine[Any]) -> None:
    """Enhance a source that fails, then one of which only the first block is taken."""

    def failing() -> Iterator[np.ndarray]:
        yield noise(4800)
        raise ValueError("source fails")

    with pytest.raises(ValueError, match="source fails"):
        list(engine.enhance(failing()))
    half = engine.enhance(iter([noise(4800)] * 3))
    next(half)
    half.close()
