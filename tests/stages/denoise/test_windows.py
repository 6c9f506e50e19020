"""Overlapping windows: nothing lost, cross-fades sum to one, bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.bsrnn.made import noise
from wavemill.stages.denoise.windows import WindowPlan, in_windows


@st.composite
def plans(draw: st.DrawFn) -> WindowPlan:
    window = draw(st.integers(1, 40))
    return WindowPlan(window, draw(st.integers(0, window // 2)), draw(st.integers(1, 4)))


@given(plan=plans(), sizes=st.lists(st.integers(0, 150), max_size=6))
def test_a_constant_gain_passes_through(plan: WindowPlan, sizes: list[int]) -> None:
    audio = noise(sum(sizes))
    seen: list[np.ndarray] = []

    def halve(windows: np.ndarray) -> np.ndarray:
        seen.append(windows)
        return windows * np.float32(0.5)

    blocks = np.split(audio, np.cumsum(sizes)[:-1]) if sizes else []
    out = list(in_windows(blocks, plan, halve))
    joined = np.concatenate([*out, np.zeros(0, np.float32)])
    np.testing.assert_allclose(joined, 0.5 * audio, atol=1e-7)
    assert all(len(windows) <= plan.batch for windows in seen)
    assert all(windows.shape[1] == plan.window for windows in seen[:-1])
    if audio.size > plan.window:
        assert plan.overlap < seen[-1].shape[1] <= plan.window


@given(plan=plans(), samples=st.integers(1, 300), cuts=st.lists(st.integers(0, 300), max_size=5))
def test_blocks_do_not_matter(plan: WindowPlan, samples: int, cuts: list[int]) -> None:
    audio = noise(samples)

    def run(windows: np.ndarray) -> np.ndarray:
        return windows - windows.mean(axis=1, keepdims=True)

    whole, pieces = (
        np.concatenate(list(in_windows(blocks, plan, run)))
        for blocks in ([audio], np.split(audio, sorted(min(cut, samples) for cut in cuts)))
    )
    np.testing.assert_array_equal(whole, pieces)


def test_two_windows_cross_fade_linearly() -> None:
    plan = WindowPlan(window=10, overlap=4, batch=2)
    numbers = iter([1.0, 2.0, 3.0])

    def number(windows: np.ndarray) -> np.ndarray:
        return np.stack([np.full_like(window, next(numbers)) for window in windows])

    out = np.concatenate(list(in_windows([np.zeros(20, np.float32)], plan, number)))
    first, second = 1 + np.array([1, 2, 3, 4]) / 5, 2 + np.array([1, 2, 3, 4]) / 5
    np.testing.assert_allclose(out, [*[1] * 6, *first, *[2] * 2, *second, *[3] * 4])


def test_one_window_is_not_cut() -> None:
    shapes = []
    plan = WindowPlan(window=100, overlap=20, batch=3)
    list(in_windows([noise(60), noise(40)], plan, lambda w: shapes.append(w.shape) or w))
    assert shapes == [(1, 100)]


def test_output_comes_while_input_goes_on() -> None:
    """A stream of any length: never more is taken in than a batch and the block that ends it."""
    plan = WindowPlan(window=1000, overlap=100, batch=2)
    taken = 0

    def source() -> Iterator[np.ndarray]:
        nonlocal taken
        for _ in range(500):
            taken += 300
            yield np.ones(300, np.float32)

    given_out = 0
    for block in in_windows(source(), plan, lambda windows: windows):
        assert taken - given_out <= plan.span + 300
        given_out += block.size
    assert given_out == 150_000


@pytest.mark.parametrize("wrong", [(10, 6, 1), (10, -1, 1), (0, 0, 1), (10, 2, 0)])
def test_plans_that_make_no_sense(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="windows must be longer"):
        WindowPlan(*wrong)
