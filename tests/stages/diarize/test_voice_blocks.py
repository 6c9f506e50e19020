"""Statistics of features in blocks, and spans pooled from them."""

from __future__ import annotations

import numpy as np

from wavemill.stages.diarize.voice_blocks import BLOCK_MS, FRAMES, VoiceBlocks

CHANNELS = 8


def features(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(1, 1, (frames, CHANNELS)).astype(np.float32)


def unit(statistics: np.ndarray) -> np.ndarray:
    return np.asarray(statistics / np.linalg.norm(statistics, axis=1, keepdims=True))


def as_it_is(statistics: np.ndarray) -> np.ndarray:
    return statistics


def test_a_span_has_the_statistics_of_its_frames_of_speech() -> None:
    values, spoken = features(100), np.ones(100, np.bool_)
    spoken[7:12] = False
    blocks = VoiceBlocks.of(0, values, spoken)
    kept = values[:50][spoken[:50]]
    expected = np.concatenate([kept.mean(axis=0), kept.std(axis=0, ddof=1)])[None]
    found = blocks.embed([(0, 1000)], as_it_is)
    np.testing.assert_allclose(found, unit(expected), atol=2e-3)
    assert blocks.means.dtype == np.float16


def test_stretches_are_joined_and_blocks_without_speech_left_out() -> None:
    values, spoken = features(40), np.ones(40, np.bool_)
    spoken[10:20] = False
    whole = VoiceBlocks.of(0, values, spoken)
    assert whole.numbers.tolist() == [0, 1, 4, 5, 6, 7]
    parts = [VoiceBlocks.of(i // FRAMES, values[i : i + 20], spoken[i : i + 20]) for i in (0, 20)]
    joined = VoiceBlocks.joined(parts, 6, CHANNELS)
    np.testing.assert_array_equal(joined.numbers, whole.numbers)
    np.testing.assert_array_equal(joined.means, whole.means)
    np.testing.assert_array_equal(joined.variances, whole.variances)
    np.testing.assert_array_equal(joined.counts, whole.counts)


def test_a_span_without_speech_has_the_voice_of_the_nearest_block() -> None:
    spoken = np.zeros(100, np.bool_)
    spoken[[0, 1, 2, 3, 4, 95, 96, 97, 98, 99]] = True
    blocks = VoiceBlocks.of(0, features(100), spoken)
    first, last, near, far = blocks.embed(
        [(0, BLOCK_MS), (1900, 2000), (300, 400), (1500, 1600)], as_it_is
    )
    np.testing.assert_array_equal(near, first)
    np.testing.assert_array_equal(far, last)


def test_no_spans_and_no_speech() -> None:
    nothing = VoiceBlocks.joined([], 0, CHANNELS)
    assert nothing.embed([], as_it_is).shape == (0, 2 * CHANNELS)
    assert nothing.embed([(0, 500)], as_it_is).shape == (1, 2 * CHANNELS)
