"""G.711 against libsndfile, files in memory, and who speaks when."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from tests.serve.support import speech
from wavemill.serve.audio.files import read_file, written_file
from wavemill.serve.audio.formats import AudioRefused, Format, decoded, encoded
from wavemill.serve.audio.rates import Resampler
from wavemill.serve.audio.turns import Started, Stopped, TurnDetector
from wavemill.serve.config import TurnRules
from wavemill.stages.diarize.vad import SAMPLE_RATE, open_session


@pytest.mark.parametrize(("form", "name"), [(Format.MU_LAW, "ULAW"), (Format.A_LAW, "ALAW")])
def test_g711_is_that_of_libsndfile(form: Format, name: str) -> None:
    codes = bytes(range(256))
    raw = {"samplerate": 8000, "channels": 1, "format": "RAW", "subtype": name}
    theirs, _ = soundfile.read(io.BytesIO(codes), dtype="float32", **raw)
    levels = decoded(codes, form)
    assert np.array_equal(levels, theirs)
    # Every code that is not a second zero comes back from its level.
    same = np.frombuffer(encoded(levels, form), np.uint8) == np.arange(256)
    assert np.array_equal(decoded(encoded(levels, form), form), levels)
    assert same.sum() >= 255
    sound = speech(2, 8000)
    assert np.abs(decoded(encoded(sound, form), form) - sound).max() < 0.02


def test_pcm_there_and_back() -> None:
    sound = speech(0.5)
    back = decoded(encoded(sound, Format.PCM), Format.PCM)
    assert np.abs(back - sound).max() <= 1 / 65536
    loud = decoded(encoded(np.float32([-3, 3]), Format.PCM), Format.PCM)
    assert loud.tolist() == [-1, 32767 / 32768]
    with pytest.raises(AudioRefused, match="not whole samples"):
        decoded(b"abc", Format.PCM)


@pytest.mark.parametrize("form", ["wav", "flac", "mp3", "opus"])
def test_files_there_and_back(form: str) -> None:
    sound = speech(1)
    content, _ = written_file(sound, 24_000, form)
    back = read_file(content, 24_000, 2)
    assert abs(len(back) - len(sound)) < 2000
    with pytest.raises(AudioRefused, match=r"longer than 0\.5 s"):
        read_file(content, 24_000, 0.5)


def test_a_stream_at_another_rate_is_the_whole_at_another_rate() -> None:
    sound, whole = speech(1), Resampler(24_000, 16_000)
    pieces = Resampler(24_000, 16_000)
    parts = [pieces.push(sound[i : i + 777]) for i in range(0, len(sound), 777)]
    parts.append(pieces.push(sound[:0], last=True))
    assert np.allclose(np.concatenate(parts), whole.push(sound, last=True), atol=1e-5)


def heard(sound: np.ndarray, rules: TurnRules, longest: float = 30) -> list[Started | Stopped]:
    detector = TurnDetector(open_session(), rules, longest)
    cuts = range(0, len(sound), 1000)
    return [change for i in cuts for change in detector.feed(sound[i : i + 1000])]


def test_a_turn_begins_with_speech_and_ends_after_silence() -> None:
    quiet = np.zeros(SAMPLE_RATE, np.float32)
    said = speech(2.5, SAMPLE_RATE)
    rules = TurnRules()
    started, stopped = heard(np.concatenate([quiet, said, quiet]), rules)
    assert isinstance(started, Started)
    assert isinstance(stopped, Stopped)
    assert 600 <= started.start_ms <= 1500
    assert 3000 <= stopped.end_ms <= 4500
    length = len(stopped.sound) * 1000 // SAMPLE_RATE
    assert abs(length - (stopped.end_ms - started.start_ms)) <= 32
    # A longer silence is wanted than there is: the turn has not ended.
    (only,) = heard(np.concatenate([quiet, said, quiet]), TurnRules(silence_duration_ms=2000))
    assert isinstance(only, Started)


def test_a_turn_is_cut_at_its_limit() -> None:
    said = np.tile(speech(2.5, SAMPLE_RATE), 2)
    turns = [c for c in heard(said, TurnRules(), longest=2) if isinstance(c, Stopped)]
    assert turns
    assert all(len(turn.sound) <= 2 * SAMPLE_RATE + 512 for turn in turns)


@pytest.mark.parametrize("level", [0, 0.01, 0.1, 0.5])
def test_silence_and_noise_are_no_turns(level: float) -> None:
    random = np.random.default_rng(1)
    noise = random.standard_normal(5 * SAMPLE_RATE).astype(np.float32) * np.float32(level)
    assert not heard(noise, TurnRules())
