"""Resampling as a stream."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavemill.stages.audio.resample import rechunk, resample, resample_stream, resampled_length

RATES = st.sampled_from([8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
CUTS = st.lists(st.integers(0, 9000), max_size=8)


@settings(deadline=None, max_examples=60)
@given(RATES, RATES, CUTS, st.integers(1, 2))
def test_total_length_is_exact(source: int, target: int, sizes: list[int], channels: int) -> None:
    blocks = [np.full((channels, size), 0.1, np.float32) for size in sizes]
    out = [block.shape for block in resample_stream(blocks, source, target)]
    assert sum(shape[1] for shape in out) == resampled_length(sum(sizes), source, target)
    assert all(shape[0] == channels for shape in out)


@pytest.mark.parametrize("target", [8000, 16_000, 44_100, 48_000])
def test_streamed_equals_at_once_and_stays_in_place(target: int) -> None:
    time = np.arange(22_050 * 2) / 22_050
    audio = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    pieces = np.split(audio, [1, 700, 701, 20_000, 30_123])
    streamed = np.concatenate(list(resample_stream(pieces, 22_050, target)))
    np.testing.assert_allclose(streamed, resample(audio, 22_050, target), atol=1e-5)
    expected = np.sin(2 * np.pi * 440 * np.arange(streamed.size) / target)
    inside = slice(target // 10, -target // 10)
    np.testing.assert_allclose(streamed[inside], expected[inside], atol=1e-3)


@given(CUTS, st.integers(1, 3000))
def test_rechunk_keeps_every_sample(sizes: list[int], length: int) -> None:
    whole = np.arange(sum(sizes), dtype=np.float32)
    out = list(rechunk(np.split(whole, np.cumsum(sizes)[:-1]) if sizes else [], length))
    np.testing.assert_array_equal(np.concatenate([*out, whole[:0]]), whole)
    assert all(block.size == length for block in out[:-1])
    assert all(0 < block.size <= length for block in out)
