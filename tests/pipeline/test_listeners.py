"""The stages' engines as those who judge speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.stages.diarize.test_pyannote import folder  # noqa: F401
from tests.support import ROOT
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.library.sound import sound_of
from wavemill.pipeline.listeners import listeners

SPOKEN = ROOT / "examples/recordings/clean_dialogue.flac"


def test_the_embedded_profile_understands_and_rates(folder: Path) -> None:  # noqa: F811
    made = listeners("embedded", [], "cpu", SPOKEN, folder / "embedding")
    assert made.transcriber is not None
    assert made.quality is not None
    assert made.voice is not None
    speech = sound_of(SPOKEN, made.transcriber.rate)[: 4 * made.transcriber.rate]
    hiss = np.random.default_rng(0).normal(0, 0.1, made.quality.rate * 2).astype(np.float32)
    (text,) = made.transcriber.listen([speech])
    assert text
    good, bad, short = made.quality.listen([speech, hiss, speech[:100]])
    assert good is not None
    assert bad is not None
    assert 1 <= bad < good <= 5
    assert short is None
    near, far = made.voice.listen([sound_of(SPOKEN, made.voice.rate), hiss])
    assert near == pytest.approx(1.0, abs=1e-4)
    assert far is not None
    assert far < near
    assert "faster_whisper" in made.transcriber.name
    assert "dnsmos" in made.quality.name


def test_voices_need_a_model_and_a_wrong_setting_is_named() -> None:
    assert listeners("embedded", [], "cpu", SPOKEN).voice is None
    with pytest.raises(ConfigError, match="unknown engine 'ears'"):
        listeners("embedded", ["transcribe.engine=ears"], "cpu")
