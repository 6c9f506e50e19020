"""The clock: where pieces of audio lie, and what lacks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavemill.stages.audio.limits import DecodeLimits
from wavemill.stages.audio.timeline import Clock, Kind, Missing, Piece, Times

LIMITS = DecodeLimits(gap_ms=2000, jitter_ms=50)


def run(clock: Clock, pieces: list[Piece[str]]) -> list[Missing]:
    placed = list(clock.placed(pieces))
    assert [piece for _, piece in placed] == pieces
    assert [lack for lack, _ in placed if lack is not None] == clock.missing
    return clock.missing


def row(times: list[float | None], seconds: float = 0.1) -> list[Piece[str]]:
    return [Piece("", time, seconds) for time in times]


def test_frames_without_a_time_follow_by_their_samples() -> None:
    """As Monkey's Audio: a packet holds several frames, of which the first alone has its time."""
    times = [time for packet in range(5) for time in (packet * 0.4, None, None, None)]
    for kind in Times:
        clock = Clock(kind, LIMITS)
        assert run(clock, row(times)) == []
        assert clock.end_s == pytest.approx(2.0)


def test_a_lost_packet_of_several_frames_is_as_long_as_they_were() -> None:
    times = [0.0, None, None, None, 0.8, None, None, None]
    (lack,) = run(Clock(Times.NUMBERED, LIMITS), row(times))
    assert (lack.start_s, lack.end_s) == pytest.approx((0.4, 0.8))
    assert (lack.kind, lack.filled) == (Kind.DAMAGE, True)


@pytest.mark.parametrize("late_s", [0.06, 1.5, 1.999])
def test_audio_that_starts_late_comes_after_silence(late_s: float) -> None:
    clock = Clock(Times.SET, LIMITS)
    (lack,) = run(clock, row([late_s, late_s + 0.1]))
    assert lack == Missing(0.0, late_s, Kind.GAP, True)
    assert clock.end_s == pytest.approx(late_s + 0.2)


def test_time_counts_from_the_zero_of_the_container() -> None:
    assert run(Clock(Times.SET, LIMITS, zero_s=95_443.7), row([95_443.7, 95_443.8])) == []


def test_a_hole_beyond_the_limit_is_closed_and_told() -> None:
    clock = Clock(Times.SET, LIMITS)
    (lack,) = run(clock, row([0.0, 0.1, 3600.2, 3600.3, 3600.4]))
    assert (lack.start_s, lack.end_s) == pytest.approx((0.2, 3600.2))
    assert not lack.filled
    assert clock.end_s == pytest.approx(0.5)


def test_one_wrong_time_moves_nothing() -> None:
    clock = Clock(Times.SET, LIMITS)
    assert run(clock, row([0.0, 0.1, 0.7, 0.3, 0.4])) == []
    assert clock.end_s == pytest.approx(0.5)


def test_times_that_begin_again_are_another_part() -> None:
    for kind, start in ((Times.SET, -100.0), (Times.NUMBERED, 0.0)):
        clock = Clock(kind, LIMITS)
        (lack,) = run(clock, row([0.0, 0.1, start, start + 0.1, start + 0.7]))
        assert (lack.start_s, lack.end_s) == pytest.approx((0.4, 0.9)), kind


def test_what_ffmpeg_counts_itself_is_not_looked_at() -> None:
    pieces = [*row([0.0, 5.0]), Piece("", 1.0, 0.1, lost_s=0.3, damaged=True)]
    (lack,) = run(Clock(Times.COUNTED, LIMITS), pieces)
    assert (lack.start_s, lack.end_s) == pytest.approx((0.2, 0.5))


@given(
    st.lists(st.tuples(st.floats(0, 1.9), st.floats(0.06, 0.5)), min_size=1, max_size=20),
    st.sampled_from([Times.SET, Times.NUMBERED]),
)
def test_every_piece_lies_where_its_time_says(
    gaps_and_lengths: list[tuple[float, float]], kind: Times
) -> None:
    """To within the jitter, whatever the gaps; and nothing of the time is counted twice."""
    at, pieces = 0.0, []
    for gap, seconds in gaps_and_lengths:
        at += gap if gap * 1000 > LIMITS.jitter_ms else 0
        pieces.append(Piece("", at, seconds))
        at += seconds
    clock = Clock(kind, LIMITS)
    sounding = 0.0
    for _, piece in clock.placed(pieces):
        sounding += piece.seconds
        assert piece.time_s is not None
        start_s = clock.end_s - piece.seconds
        assert abs(start_s - piece.time_s) * 1000 <= LIMITS.jitter_ms + 1e-6
    assert clock.end_s == pytest.approx(sounding + sum(lack.seconds for lack in clock.missing))
