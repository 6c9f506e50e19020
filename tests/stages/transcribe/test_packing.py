"""Clips in windows: each once, in order, apart, and none beyond the window."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wavemill.stages.transcribe.packing import packed

lengths = st.lists(st.integers(1, 130), max_size=30)


@given(lengths, st.integers(50, 100), st.integers(0, 20))
def test_every_clip_is_placed_once(lengths: list[int], window: int, gap: int) -> None:
    windows = packed(lengths, window, gap)
    placed = [one for some in windows for one in some.placed]
    assert [one.clip for one in placed] == list(range(len(lengths)))
    assert [one.end - one.start for one in placed] == lengths
    for some in windows:
        assert some.placed[0].start == 0
        assert all(b.start - a.end == gap for a, b in pairwise(some.placed))
        assert some.samples <= window or len(some.placed) == 1


@given(lengths.filter(bool), st.integers(50, 100), st.integers(0, 20))
def test_a_window_holds_its_clips_and_silence(lengths: list[int], size: int, gap: int) -> None:
    clips = [np.full(length, index + 1, np.float32) for index, length in enumerate(lengths)]
    for window in packed(lengths, size, gap):
        audio = window.audio(clips)
        for one in window.placed:
            assert (audio[one.start : one.end] == one.clip + 1).all()
            audio[one.start : one.end] = 0
        assert not audio.any()


def test_a_time_belongs_to_the_nearest_clip() -> None:
    (window,) = packed([10, 10, 10], 100, 10)
    times = (0, 9, 14, 16, 20, 29, 36, 49, 80)
    assert [window.clip_at(time).clip for time in times] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
