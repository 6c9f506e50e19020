"""The report's post-processing steps: known answers, and properties that always hold."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wavemill.stages.diarize.engine import Turn
from wavemill.stages.diarize.postprocess import (
    cut_chunks,
    join_chunks,
    merge_clusters,
    merge_segments,
    reassign_chunks,
    split_long,
)
from wavemill.stages.diarize.spans import Span, intersect, length, union

MAX, GAP = 27_000, 2_000
MARGIN, WINDOW = 1_000, 200


@st.composite
def turn_lists(draw: st.DrawFn, longest: int = 40_000) -> list[Turn]:
    """Turns in time order without overlap, touching or apart."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from([0, 1, 300, 1999, 2000, 2001, 5000]),
                st.integers(1, longest),
                st.integers(0, 2),
            ),
            max_size=25,
        )
    )
    turns: list[Turn] = []
    now = 0
    for gap, duration, speaker in steps:
        turns.append(Turn(now + gap, now + gap + duration, speaker))
        now = turns[-1].end_ms
    return turns


def flat(start: int, end: int) -> np.ndarray:
    """An energy that is the same everywhere."""
    return np.ones((end - start) // 10)


def speech_of(turns: list[Turn], speaker: int) -> list[Span]:
    return union((t.start_ms, t.end_ms) for t in turns if t.speaker == speaker)


# --- merge_clusters ---------------------------------------------------------------------------


def test_similar_clusters_become_one_and_others_stay() -> None:
    voices = np.array([[1.0, 0.0], [0.8, 0.6], [-1.0, 0.0]])  # cosines 0.8, -1, -0.8
    assert merge_clusters(voices, np.ones(3), 0.6).tolist() == [0, 0, 2]
    assert merge_clusters(voices, np.ones(3), 0.8).tolist() == [0, 1, 2]  # 0.8 does not exceed 0.8


def test_the_most_similar_pair_goes_first_and_its_mean_decides() -> None:
    angles = np.deg2rad([0, 40, 85])  # cosines: 0.77, 0.71, 0.09
    voices = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    # The pair 0, 1 goes first; with equal weights its mean is at 20 degrees, 65 from the third.
    assert merge_clusters(voices, np.ones(3), 0.6).tolist() == [0, 0, 2]
    # With the weight on 1 the mean is near 40 degrees, 45 from the third: all are one.
    assert merge_clusters(voices, np.array([1.0, 50.0, 1.0]), 0.6).tolist() == [0, 0, 0]


@given(st.integers(1, 8), st.integers(0, 10_000), st.floats(-0.9, 0.9))
def test_no_pair_above_the_threshold_is_left(count: int, seed: int, threshold: float) -> None:
    generator = np.random.default_rng(seed)
    voices = generator.normal(size=(count, 4))
    voices /= np.linalg.norm(voices, axis=1, keepdims=True)
    weights = generator.uniform(1, 10, count)
    owner = merge_clusters(voices, weights, threshold)
    sums = [(voices * weights[:, None])[owner == name].sum(axis=0) for name in np.unique(owner)]
    units = np.stack([s / np.linalg.norm(s) for s in sums])
    cosines = (units @ units.T)[~np.eye(len(units), dtype=bool)]
    assert (cosines <= threshold + 1e-9).all()
    assert (owner <= np.arange(count)).all()


# --- chunks -----------------------------------------------------------------------------------


def test_chunks_are_cut_at_a_second_and_a_half() -> None:
    chunks, sources = cut_chunks([Turn(0, 4000, 0), Turn(5000, 5400, 1)], 1500)
    spans = [(c.start_ms, c.end_ms, c.speaker) for c in chunks]
    assert spans == [(0, 1500, 0), (1500, 3000, 0), (3000, 4000, 0), (5000, 5400, 1)]
    assert sources.tolist() == [0, 0, 0, 1]


def test_a_short_rest_stays_with_the_chunk_before() -> None:
    chunks, _ = cut_chunks([Turn(0, 3700, 0)], 1500)
    assert [(c.start_ms, c.end_ms) for c in chunks] == [(0, 1500), (1500, 3700)]


@given(turn_lists(), st.integers(100, 3000))
def test_cutting_and_joining_gives_the_turns_back(turns: list[Turn], chunk_ms: int) -> None:
    assert join_chunks(*cut_chunks(turns, chunk_ms)) == turns


def test_both_of_two_unlike_neighbours_are_reassigned() -> None:
    a, b = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    embeddings = np.stack([a, b, b, a])
    sources = np.array([0, 0, 1, 2])  # 0 and 1 neighbours in a turn, the others alone
    before = np.array([1, 1, 0, 1])
    after = reassign_chunks(before, sources, embeddings, {0: a, 1: b}, 0.5)
    assert after.tolist() == [0, 1, 0, 1]  # only the first turn is touched, and by likeness


def test_alike_neighbours_keep_their_speaker_even_if_another_is_nearer() -> None:
    a, b = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    after = reassign_chunks(
        np.array([1, 1]), np.zeros(2, np.int64), np.stack([a, a]), {0: a, 1: b}, 0.5
    )
    assert after.tolist() == [1, 1]


# --- merge_segments ---------------------------------------------------------------------------


def test_segments_of_one_speaker_are_joined_up_to_the_limits() -> None:
    turns = [Turn(0, 10_000, 0), Turn(12_000, 20_000, 0), Turn(22_001, 23_000, 0)]
    assert merge_segments(turns, MAX, GAP) == [Turn(0, 20_000, 0), Turn(22_001, 23_000, 0)]
    assert merge_segments([Turn(0, 20_000, 0), Turn(20_500, 27_000, 0)], MAX, GAP) == [
        Turn(0, 27_000, 0)
    ]
    too_long = [Turn(0, 20_000, 0), Turn(20_500, 27_001, 0)]
    assert merge_segments(too_long, MAX, GAP) == too_long


def test_another_speaker_between_keeps_segments_apart() -> None:
    turns = [Turn(0, 1000, 0), Turn(1000, 1500, 1), Turn(1500, 2000, 0)]
    assert merge_segments(turns, MAX, GAP) == turns


@given(turn_lists())
def test_merging_obeys_the_limits(turns: list[Turn]) -> None:
    alone = {t.end_ms - t.start_ms for t in turns}
    merged = merge_segments(turns, MAX, GAP)
    for segment in merged:
        duration = segment.end_ms - segment.start_ms
        assert duration <= MAX or duration in alone
        inside = [t for t in turns if segment.start_ms <= t.start_ms < segment.end_ms]
        assert {t.speaker for t in inside} == {segment.speaker}
        assert all(b.start_ms - a.end_ms <= GAP for a, b in pairwise(inside))


@given(turn_lists())
def test_merging_neither_loses_nor_doubles_speech(turns: list[Turn]) -> None:
    merged = merge_segments(turns, MAX, GAP)
    for speaker in range(3):
        before, after = speech_of(turns, speaker), speech_of(merged, speaker)
        assert intersect(after, before) == before
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(merged))


@given(turn_lists())
def test_merging_leaves_nothing_to_join(turns: list[Turn]) -> None:
    merged = merge_segments(turns, MAX, GAP)
    for a, b in pairwise(merged):
        apart = b.start_ms - a.end_ms > GAP or b.end_ms - a.start_ms > MAX
        assert a.speaker != b.speaker or apart


# --- split_long -------------------------------------------------------------------------------


def test_a_long_segment_is_cut_at_its_longest_pause() -> None:
    speech = [(0, 8000), (8200, 20_000), (20_900, 40_000)]
    pieces = split_long(Turn(0, 40_000, 3), speech, flat, MAX, MARGIN, WINDOW)
    assert pieces == [Turn(0, 20_000, 3), Turn(20_900, 40_000, 3)]


def test_pieces_still_too_long_are_cut_again() -> None:
    speech = [(0, 5000), (6000, 30_000), (30_100, 40_000)]
    pieces = split_long(Turn(0, 40_000, 0), speech, flat, MAX, MARGIN, WINDOW)
    assert pieces == [Turn(0, 5000, 0), Turn(6000, 30_000, 0), Turn(30_100, 40_000, 0)]


def test_without_a_pause_the_quietest_stretch_is_cut() -> None:
    def energy(start: int, end: int) -> np.ndarray:
        times = np.arange(start, end, 10)
        return np.where((times >= 17_000) & (times < 17_200), 0.01, 1.0)

    pieces = split_long(Turn(0, 30_000, 0), [(0, 30_000)], energy, MAX, MARGIN, WINDOW)
    assert pieces == [Turn(0, 17_100, 0), Turn(17_100, 30_000, 0)]


def test_a_pause_at_the_very_end_is_no_place_to_cut() -> None:
    speech = [(0, 15_000), (15_100, 29_400), (29_900, 30_000)]
    pieces = split_long(Turn(0, 30_000, 0), speech, flat, MAX, MARGIN, WINDOW)
    assert pieces == [Turn(0, 15_000, 0), Turn(15_100, 30_000, 0)]


@given(turn_lists(longest=90_000), st.integers(0, 1000))
def test_splitting_bounds_the_length_and_keeps_all_speech(turns: list[Turn], seed: int) -> None:
    speech = union((t.start_ms, t.end_ms) for t in turns)
    noise = np.random.default_rng(seed).random(1000)

    def energy(start: int, end: int) -> np.ndarray:
        return noise[np.arange(start // 10, end // 10) % 1000]

    whole = [Turn(speech[0][0], speech[-1][1], 0)] if speech else []
    pieces = [p for t in whole for p in split_long(t, speech, energy, MAX, MARGIN, WINDOW)]
    spans = [(p.start_ms, p.end_ms) for p in pieces]
    assert all(0 < end - start <= MAX for start, end in spans)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert length(intersect(spans, speech)) == length(speech)
