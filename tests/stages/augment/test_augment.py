"""Where users are heard: the amounts are right, and everything depends on ids alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from tests.support import MemoryUpstream
from wavemill.manifests.conversations import conversation
from wavemill.manifests.recording import MessageOf, Recording
from wavemill.stages.audio.flac import decode_flac, encode_flac
from wavemill.stages.augment.noises import Noises
from wavemill.stages.augment.stage import Augment
from wavemill.stages.augment.surroundings import (
    Surroundings,
    SurroundingsConfig,
    surrounded,
    surroundings_of,
)
from wavemill.stages.conversation import clip_id
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.recording_stage import RecordingError

RATE = 24_000
QUIET = Surroundings(None, None, None, None, False)
EVERYTHING = {"room_share": 1, "noise_share": 1, "telephone_share": 1}


def voice(seconds: float = 2.0) -> np.ndarray:
    """Return tones of a voice, with a pause of half of the time in the middle."""
    times = np.arange(round(seconds * RATE)) / RATE
    made = sum(np.sin(2 * np.pi * 150 * n * times) / n for n in range(1, 30))
    made[len(made) // 4 : -len(made) // 4] = 0
    return (0.3 * made / np.abs(made).max()).astype(np.float32)


def level(sound: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(sound, dtype=np.float64)) + 1e-20))


@pytest.mark.parametrize("snr_db", [10.0, 25.0])
def test_noise_is_so_far_below_the_voice(snr_db: float) -> None:
    clip, place = voice(), Surroundings(None, None, "coloured", snr_db, False)
    made, rate = surrounded(clip, RATE, place, None, "key", -45.0)
    assert rate == RATE
    spoken = np.concatenate([clip[: len(clip) // 4], clip[-len(clip) // 4 :]])
    assert level(spoken) - level(made - clip) == pytest.approx(snr_db, abs=0.3)


@pytest.mark.parametrize(("rt60_s", "direct_db"), [(0.2, 12.0), (0.6, 3.0)])
def test_a_room_falls_by_60_db_in_its_time(rt60_s: float, direct_db: float) -> None:
    click = np.zeros(RATE, np.float32)
    click[100] = 0.5
    place = Surroundings(rt60_s, direct_db, None, None, False)
    made, _ = surrounded(click, RATE, place, None, "key", -45.0)
    assert np.argmax(np.abs(made)) == 100  # nothing is delayed
    tail = made[101:].astype(np.float64)
    assert np.linalg.norm(made) == pytest.approx(np.linalg.norm(click), rel=0.01)
    reverberation = np.sqrt(np.sum(np.square(tail)))
    assert 20 * np.log10(abs(made[100]) / reverberation) == pytest.approx(direct_db, abs=0.3)
    start, end = (round(share * rt60_s * RATE) for share in (0.1, 0.6))
    width = round(0.05 * rt60_s * RATE)
    fallen = level(tail[start : start + width]) - level(tail[end : end + width])
    assert fallen == pytest.approx(30.0, abs=3.0)


def test_a_telephone_has_its_band() -> None:
    rng = np.random.default_rng(0)
    hiss = (0.1 * rng.standard_normal(RATE)).astype(np.float32)
    made, rate = surrounded(hiss, RATE, Surroundings(None, None, None, None, True), None, "k", -45)
    assert (rate, len(made)) == (8_000, 8_000)
    spectrum = np.abs(np.fft.rfft(made)) ** 2  # 1 Hz apart
    within = spectrum[400:3_200].mean()
    assert spectrum[:150].mean() < within / 100
    assert spectrum[3_800:].mean() < within / 10
    assert len(np.unique(made)) <= 255  # the code of G.711


def test_a_place_is_drawn_by_the_conversation_alone() -> None:
    config = SurroundingsConfig()
    drawn = {str(n): surroundings_of(str(n), config, ["a", "b"]) for n in range(2_000)}
    assert drawn["7"] == surroundings_of("7", config, ["b", "a"])
    shares = Counter[str]()
    for place in drawn.values():
        shares["room"] += place.rt60_s is not None
        shares["noise"] += place.noise is not None
        shares["telephone"] += place.telephone
        shares["a"] += place.noise == "a"
        if place.rt60_s is not None:
            assert 0.15 <= place.rt60_s <= 0.6
        if place.snr_db is not None:
            assert 10 <= place.snr_db <= 30
    expected = {"room": 600, "noise": 600, "telephone": 200, "a": 300}
    assert all(abs(shares[name] - count) < 70 for name, count in expected.items()), shares
    # A further recording of noise takes its share, and moves nothing else.
    for name, place in drawn.items():
        more = surroundings_of(name, config, ["a", "b", "c"])
        assert more == place or more.noise == "c"


def dialogue(number: int = 0) -> tuple[Recording, list[str]]:
    messages = [(MessageOf.USER, f"Is it {number}?"), (MessageOf.ASSISTANT, "Yes.")]
    made = conversation(messages, "c:1", None)
    return made, [clip_id(made.recording_id, index, "said") for index in range(2)]


def rows(stage: Augment, number: int = 0) -> list[dict[str, Any]]:
    made, keys = dialogue(number)
    flac = encode_flac(voice(), RATE)
    clips = [{"segment_id": key, "audio": flac, "sample_rate": RATE} for key in keys]
    tables: dict[str, list[dict[str, Any]]] = {
        "speak": clips,
        "listen": [{**clip, "audio": None} for clip in clips],
        "verdict_spoken": [{"segment_id": key} for key in keys],
    }
    whole = {
        name: pa.Table.from_pylist([{"recording_id": made.recording_id, **row} for row in rows])
        for name, rows in tables.items()
    }
    upstream = MemoryUpstream(made.recording_id, whole)
    return [row for batch in stage(made, upstream) for row in batch.to_pylist()]


def test_users_are_elsewhere_and_the_assistant_is_not() -> None:
    stage = Augment.build(Augment.Settings(**EVERYTHING))
    user, assistant = rows(stage)
    assert (user["sample_rate"], user["telephone"], user["noise"]) == (8_000, True, "coloured")
    assert len(decode_flac(user["audio"])[0]) >= 2 * 8_000
    unchanged = {"audio": None, "rt60_s": None, "snr_db": None, "noise": None, "telephone": False}
    assert {name: assistant[name] for name in unchanged} == unchanged
    assert rows(stage)[0] == user
    nothing = Augment.build(Augment.Settings(room_share=0, noise_share=0, telephone_share=0))
    assert {row["audio"] for row in rows(nothing)} == {None}


def test_noise_of_ones_own(tmp_path: Path) -> None:
    hum = np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000)
    soundfile.write(tmp_path / "hum.wav", 0.5 * hum, 16_000)
    settings = {"noises": (tmp_path,), "noise_share": 1, "room_share": 0, "telephone_share": 0}
    stage = Augment.build(Augment.Settings(**settings))
    (user, _) = rows(stage)
    added = decode_flac(user["audio"])[0] - voice()
    spectrum = np.abs(np.fft.rfft(added[:RATE]))
    assert np.argmax(spectrum) == 1_000
    assert user["noise"] == Noises((tmp_path / "hum.wav",)).names[0]
    before = stage.parameters()
    (tmp_path / "moved").mkdir()
    (tmp_path / "hum.wav").rename(tmp_path / "moved" / "noise.wav")
    assert Augment(Augment.Settings(**settings)).parameters() == before


def test_what_is_no_noise_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"augment\.noises: .* has no recordings"):
        Augment(Augment.Settings(noises=(tmp_path,))).parameters()
    (tmp_path / "text.wav").write_text("no sound at all", encoding="utf-8")
    stage = Augment.build(Augment.Settings(noises=(tmp_path,), noise_share=1))
    with pytest.raises(RecordingError, match=r"text\.wav"):
        rows(stage)
