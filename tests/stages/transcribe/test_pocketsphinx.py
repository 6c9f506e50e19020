"""PocketSphinx with the model of its wheel, on real speech."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import soundfile
import soxr

from tests.support import ROOT, audio_folder
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.text import normalize
from wavemill.stages.transcribe.pocketsphinx import WINDOW, PocketSphinx, PocketSphinxConfig, pcm16

RATE = 16_000
NAME = "librispeech_1263-139804-0002.flac"


@pytest.fixture(scope="module")
def engine() -> PocketSphinx:
    engine = PocketSphinx(PocketSphinxConfig())
    engine.load("cpu")
    return engine


@pytest.fixture(scope="module")
def sentence() -> np.ndarray:
    audio, rate = soundfile.read(audio_folder() / "read" / NAME, dtype="float32")
    return soxr.resample(audio, rate, RATE)


def noise(seconds: float, level: float = 0.05) -> np.ndarray:
    samples = np.random.default_rng(0).normal(0, level, int(seconds * RATE))
    return samples.astype(np.float32)


def test_a_sentence(engine: PocketSphinx, sentence: np.ndarray) -> None:
    lines = (audio_folder() / "read" / "transcripts.jsonl").read_text("utf-8").splitlines()
    truth = next(row["text"] for row in map(json.loads, lines) if row["audio"] == NAME)
    (found,) = engine.transcribe([sentence])
    spoken, heard = set(normalize(truth).split()), set(normalize(found.text).split())
    assert len(spoken & heard) >= 0.7 * len(spoken)
    assert found.text == " ".join(word.word for word in found.words)
    assert (found.language, found.language_probability) == ("en", None)
    assert 0.3 < found.asr_confidence <= 1
    duration_ms = sentence.size * 1000 // RATE
    edges = [edge for word in found.words for edge in (word.start_ms, word.end_ms)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= duration_ms
    assert all(word.end_ms > word.start_ms for word in found.words)
    assert all(0 <= word.confidence <= 1 for word in found.words)


@pytest.mark.parametrize("remove_noise", [True, False])
def test_a_transcript_does_not_depend_on_what_came_before(
    sentence: np.ndarray, remove_noise: bool
) -> None:
    engine = PocketSphinx(PocketSphinxConfig(remove_noise=remove_noise))
    engine.load("cpu")
    one, other = sentence[: 3 * RATE], 0.2 * sentence[4 * RATE : 7 * RATE] + noise(3)
    alone = engine.transcribe([one])[0]
    assert alone.words
    assert engine.transcribe([other, one, noise(1, 0.3), one])[1::2] == [alone, alone]


def test_the_front_end_obeys_remove_noise(sentence: np.ndarray) -> None:
    clip = sentence[: 3 * RATE] + noise(3, 0.01)
    found = []
    for remove_noise in (True, False):
        engine = PocketSphinx(PocketSphinxConfig(remove_noise=remove_noise))
        engine.load("cpu")
        found.append(engine.transcribe([clip])[0])
    assert found[0] != found[1]  # the model's feat.params would set it to "yes" for both


def test_silence_and_clips_too_short_are_empty(engine: PocketSphinx) -> None:
    clips = [
        np.zeros(0, np.float32),
        np.ones(1, np.float32),
        noise(WINDOW / RATE),
        noise(0.03),
        noise(0.09),
        np.zeros(3 * RATE, np.float32),
        noise(3, 1e-5),
    ]
    for found in engine.transcribe(clips):
        assert (found.text, found.words, found.asr_confidence) == ("", (), 0.0)
        assert found.language == "en"


def test_the_longest_segment(sentence: np.ndarray) -> None:
    engine = PocketSphinx(PocketSphinxConfig(maxhmmpf=500, fwdflat=False))  # quick
    engine.load("cpu")
    clip = np.resize(sentence, 27 * RATE)
    (found,) = engine.transcribe([clip])
    assert len(found.words) > 50
    assert 26_000 < found.words[-1].end_ms <= 27_000


def test_samples_beyond_full_scale_are_clipped() -> None:
    samples = np.array([0, 0.5, 1.0, -1.0, 1.5, -2.0], np.float32)
    found = np.frombuffer(pcm16(samples), "<i2")
    np.testing.assert_array_equal(found, [0, 16384, 32767, -32768, 32767, -32768])


def test_the_package_says_nothing(
    engine: PocketSphinx, sentence: np.ndarray, capfd: pytest.CaptureFixture[str]
) -> None:
    with_logs = logging.getLogger().handlers.copy()
    loaded = PocketSphinx(PocketSphinxConfig())
    loaded.load("cpu")
    engine.transcribe([sentence[:RATE], noise(0.09)])
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().handlers == with_logs


def test_weights_are_those_of_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = PocketSphinx(PocketSphinxConfig())
    assert engine.weights_identity().startswith("pocketsphinx 5.")
    monkeypatch.setattr(
        "wavemill.stages.transcribe.pocketsphinx.DISTRIBUTION", "no-such-distribution"
    )
    with pytest.raises(EngineUnavailable, match="pip install no-such-distribution"):
        engine.weights_identity()


def test_a_transcript_does_not_depend_on_what_was_decoded_before() -> None:
    """Found by killing workers: confidences differed by 1e-7 after other clips."""
    clips = [example_clip("low_level_with_hum", 0), example_clip("radio_with_music", 6)]
    fresh = PocketSphinx(PocketSphinxConfig())
    fresh.load("cpu")
    expected = fresh.transcribe(clips[1:])
    assert expected[0].text
    assert fresh.transcribe(clips[1:]) == expected
    assert fresh.transcribe(clips)[1:] == expected


def example_clip(name: str, start_s: int) -> np.ndarray:
    """Return six seconds of an example recording at 16 kHz."""
    path = ROOT / "examples" / "recordings" / f"{name}.flac"
    samples, rate = soundfile.read(path, dtype="float32", start=0, always_2d=True)
    part = samples[start_s * rate : (start_s + 6) * rate].mean(axis=1)
    return soxr.resample(part, rate, 16_000)
