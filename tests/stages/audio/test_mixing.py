"""Channels become one, and nothing that is heard in one of them gets lost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavemill.stages.audio.decode import Audio
from wavemill.stages.audio.mixing import Turned, tracks_of
from wavemill.stages.recording_stage import RecordingError

RATE = 16_000
SURROUND = ("FL", "FR", "FC", "LFE", "SL", "SR")


def voice(seed: int, seconds: float = 6) -> np.ndarray:
    """Syllables of a voice over a soft noise: float32 (samples,), of level 0.05 or so."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = 90 + 60 * random.random() + 20 * np.sin(2 * np.pi * time)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    tones = sum(np.sin(k * phase + k) / k for k in range(1, 25))
    loudness = np.clip(np.sin(2 * np.pi * (2 + random.random()) * time + seed), 0, 1)
    return (0.08 * loudness * tones + 1e-4 * random.standard_normal(time.size)).astype(np.float32)


A, B = voice(1), voice(2)
Z = np.zeros_like(A)
HISS = (2e-4 * np.random.default_rng(5).standard_normal(A.size)).astype(np.float32)


def mixed(
    *channels: np.ndarray,
    layout: Sequence[str] = (),
    size: int = 16_000,
    turned: Turned | None = None,
) -> np.ndarray:
    audio = np.stack(channels)
    blocks = (audio[:, i : i + size] for i in range(0, audio.shape[1], size))
    source = Audio(RATE, len(channels), blocks, tuple(layout))
    tracks = tracks_of(source, "mix", 48_000, turned)
    found = np.concatenate(list(tracks.blocks), axis=1)
    assert found.shape == (1, audio.shape[1])
    return found[0]


def level(audio: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))


def part_of(found: np.ndarray, voice: np.ndarray) -> float:
    """How loud a voice is in a mix, 1 as it was; as to either polarity."""
    return abs(float(np.dot(found, voice) / np.dot(voice, voice)))


def test_one_channel_and_plain_stereo_are_as_they_were() -> None:
    np.testing.assert_array_equal(mixed(A), A)
    for left, right in ((A, A), (A, 0.9 * A), (A + B, A + B / 3), (A + HISS, B)):
        stereo = np.stack([left, right]).astype(np.float32)
        turned = Turned()
        np.testing.assert_array_equal(mixed(*stereo, turned=turned), stereo.mean(axis=0))
        assert turned.within(0, 10_000) == []


@pytest.mark.parametrize(
    ("share", "noise"),
    [(-1, 0), (-0.97, 1), (-0.6, 0), (-0.3, 20), (-0.6, 60), (-1, 150), (-0.97, 150)],
)
def test_an_inverted_channel_is_turned_over(share: float, noise: float) -> None:
    turned = Turned()
    found = mixed(A + noise * HISS, share * A + noise * HISS[::-1], turned=turned)
    assert part_of(found, A) == pytest.approx((1 - share) / 2, abs=0.03)
    assert turned.within(1000, 5000) == [1]


@pytest.mark.parametrize("first", [True, False])
def test_polarity_that_changes_on_the_way(first: bool) -> None:
    changes = [0, 31_234, 60_001, 77_777, A.size] if first else [0, 50_000, A.size]
    other = A.copy()
    for start, end in list(pairwise(changes))[0 if first else 1 :: 2]:
        other[start:end] *= -1
    turned = Turned()
    found = mixed(A, other, turned=turned)
    lost = np.abs(found - A) > 0.2 * np.abs(A) + 1e-3
    assert lost.sum() / RATE < 0.03 * len(changes)  # less than a frame at each change
    assert turned.within(*((300, 1500) if first else (4000, 5000))) == [1]
    assert turned.within(*((2200, 3500) if first else (300, 3000))) == []


def test_more_than_two_channels_against_each_other() -> None:
    for signs in ((1, -1, 1), (-1, 1, -1, -1), (1, 1, -1), (-1, -1)):
        assert part_of(mixed(*(sign * A for sign in signs)), A) == pytest.approx(1, abs=0.02)
    found = mixed(A, -A, B)
    assert part_of(found, A) == pytest.approx(2 / 3, abs=0.05)
    assert part_of(found, B) == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize("other", [Z, HISS, 0.01 * B], ids=["silent", "hiss", "faint"])
def test_a_channel_that_is_not_there_takes_no_level(other: np.ndarray) -> None:
    for pair in ((A, other), (other, A)):
        found = mixed(*pair)
        assert part_of(found, A) == pytest.approx(1, abs=0.01)
        assert level(found) == pytest.approx(level(A), rel=0.01)


def test_a_channel_that_ends_early_and_one_that_begins_late() -> None:
    long = np.tile(A, 4)
    end = long.size // 3
    for half in (
        np.where(np.arange(long.size) < end, long, 0),
        np.where(np.arange(long.size) < end, 0, long),
    ):
        found = mixed(long, half.astype(np.float32))
        assert part_of(found[: end - 2 * RATE], long[: end - 2 * RATE]) == pytest.approx(
            1, abs=0.01
        )
        assert part_of(found[end + 2 * RATE :], long[end + 2 * RATE :]) == pytest.approx(
            1, abs=0.01
        )


def test_levels_move_without_steps() -> None:
    """When the other speaker has been silent for longer than is remembered."""
    long = np.tile(A, 15)
    other = np.zeros_like(long)
    other[: B.size] = B
    found = mixed(long, other)[B.size :]
    rest = long[B.size :]
    heard = np.abs(rest) > 0.02
    gains = found[heard] / rest[heard]
    assert (gains[0], gains[-1]) == pytest.approx((0.5, 1), abs=0.01)
    assert np.abs(np.diff(gains)).max() < 0.1


def test_both_sides_of_a_call_stay_audible() -> None:
    left, right = A.copy(), B.copy()
    left[3 * RATE :] = right[: 3 * RATE] = 0
    for gain in (1, 0.1, 0.01):  # the second speaker 0, 20 and 40 dB softer
        found = mixed(left + HISS / 10, gain * right + HISS / 10)
        assert part_of(found, left) >= 0.49
        assert part_of(found, gain * right) >= 0.49
    found = mixed(A, B)
    assert min(part_of(found, A), part_of(found, B)) > 0.4


def test_a_voice_in_the_centre_keeps_its_level() -> None:
    room = [0.02 * voice(seed) for seed in (3, 4, 5, 6)]
    boom = 0.3 * np.sin(2 * np.pi * 40 * np.arange(A.size) / RATE).astype(np.float32)
    for layout in ((), SURROUND):
        assert part_of(mixed(Z, Z, A, Z, Z, Z, layout=layout), A) == pytest.approx(1, abs=1e-3)
    found = mixed(*room[:2], A, boom, *room[2:], layout=SURROUND)
    assert part_of(found, A) == pytest.approx(1, abs=0.05)
    assert part_of(found, boom) < 0.01
    music = mixed(B, B, A, Z, Z, Z, layout=SURROUND)
    assert part_of(music, A) == pytest.approx(1, abs=0.1)
    assert part_of(music, B) == pytest.approx(1, abs=0.1)
    assert part_of(mixed(Z, Z, Z, A, Z, Z, layout=SURROUND), A) == pytest.approx(1, abs=1e-3)
    assert part_of(mixed(-A, -A, A, Z, Z, Z, layout=SURROUND), A) > 0.9
    assert part_of(mixed(Z, Z, Z, Z, A, -A, layout=SURROUND), A) > 0.45


@pytest.mark.parametrize("layout", [(), SURROUND])
def test_no_mix_clips(layout: Sequence[str]) -> None:
    loud = A / np.abs(A).max()
    found = mixed(*[loud] * 6, layout=layout)
    assert np.abs(found).max() <= 1
    assert abs(np.corrcoef(found, loud)[0, 1]) > 0.99
    over = 1.3 * loud  # what decoders of MP3 give for masters without headroom is not touched
    np.testing.assert_array_equal(mixed(over, over), over)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 40_000), st.sampled_from([(), SURROUND]))
def test_blocks_do_not_matter(size: int, layout: tuple[str, ...]) -> None:
    other = A.copy()
    other[20_000:50_000] *= -1
    channels = (A, other, B, HISS, -A, Z)
    whole, pieces = Turned(), Turned()
    found = mixed(*channels, layout=layout, turned=whole)
    np.testing.assert_array_equal(mixed(*channels, layout=layout, size=size, turned=pieces), found)
    assert all(whole.within(t, t + 40) == pieces.within(t, t + 40) for t in range(0, 6000, 40))


def test_split_and_single_channels_are_not_mixed() -> None:
    stereo = np.stack([A, -A])
    for channels, expected in (("split", [A, -A]), ([1], [-A]), ([1, None, 0], [-A, A, A])):
        tracks = tracks_of(Audio(RATE, 2, iter([stereo])), channels, 48_000)
        found = np.concatenate(list(tracks.blocks), axis=1)
        assert found.shape == (len(expected), A.size)
        for row, truth in zip(found, expected, strict=True):
            assert np.dot(row, truth) / np.dot(truth, truth) == pytest.approx(1, abs=0.01)
    with pytest.raises(RecordingError) as caught:
        tracks_of(Audio(RATE, 2, iter([stereo])), [2], 48_000)
    assert caught.value.reason == "no_such_channel"


def test_what_was_noted_is_not_noted_twice() -> None:
    turned = Turned()
    for start, channels in ((0, []), (40, [1]), (80, [1]), (0, [1]), (40, []), (120, [])):
        turned.add(channels, start, start + 40)
    assert turned.within(0, 40) == turned.within(120, 160) == []
    assert turned.within(0, 41) == turned.within(119, 130) == [1]
