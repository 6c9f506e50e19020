from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from wavemill.model.audio import griffin_lim, vocoder_log_mel
from wavemill.model.detokenizer.config import DetokenizerConfig
from wavemill.model.evaluate.speech import (
    Remade,
    Take,
    evaluate,
    heard_right,
    mel_distance,
    rated,
    resynthesised,
    speaker_similarity,
    table,
)

CONFIG = DetokenizerConfig.preset("tiny").vocoder
RATE = CONFIG.sampling_rate


def sound(hertz: float = 220, seconds: float = 0.4) -> torch.Tensor:
    time = torch.arange(int(seconds * RATE) // 480 * 480) / RATE
    swell = torch.sin(math.pi * time / seconds).clamp_min(0)
    return 0.2 * swell * sum(torch.sin(2 * math.pi * hertz * k * time) / k for k in (1, 2, 3, 5))


def remade(made: torch.Tensor, text: str = "one") -> Remade:
    return Remade("a", text, sound(), made, RATE)


def value(scores: dict, name: str) -> float:
    return scores[name].metrics[0].value


def test_griffin_lim_gives_the_mel_back() -> None:
    mel = vocoder_log_mel(sound(), CONFIG)
    made = griffin_lim(mel, CONFIG, iterations=30)
    assert made.shape == sound().shape
    assert (vocoder_log_mel(made, CONFIG) - mel).abs().mean() < 0.3
    assert griffin_lim(mel[:0], CONFIG).shape == (0,)
    again = griffin_lim(mel, CONFIG, iterations=30)
    assert torch.equal(made, again)


def test_mel_distance_is_in_decibels() -> None:
    measure = mel_distance(CONFIG)
    assert measure.of(remade(sound())) == 0
    loud = torch.randn(9600, generator=torch.Generator().manual_seed(0))
    halved = Remade("a", "", loud, loud / 2, RATE)
    assert measure.of(halved) == pytest.approx(6.02, abs=0.05)
    assert measure.of(Remade("a", "", loud[:100], loud[:100], RATE)) is None


def test_a_measure_that_fails_leaves_the_item_unscored() -> None:
    def breaks(*_: object) -> float:
        raise RuntimeError("no model")

    scores = evaluate([remade(sound())], [rated("quality", breaks), mel_distance(CONFIG)])
    assert scores["quality"].metrics[0].unscored == 1
    assert "no model" in scores["quality"].item_scores[0].note
    assert value(scores, "mel_distance_db") == 0
    assert "unscored (1)" in table({"made": scores})


def test_what_is_heard_and_who_is_heard() -> None:
    right = heard_right(lambda audio, _: "One " if audio[1000] != 0 else None)
    scores = evaluate([remade(sound()), remade(torch.zeros(9600))], [right])
    assert value(scores, "heard_right") == 50
    same = speaker_similarity(lambda audio, _: np.abs(np.fft.rfft(audio))[:200])
    assert same.of(remade(sound() * 3)) == pytest.approx(1)
    assert same.of(remade(sound(900))) < 0.5


def test_takes_are_said_again_and_cut_to_the_shorter() -> None:
    take = Take("a", "one", np.array([1, 2]), sound())
    (one,) = resynthesised([take], lambda t: torch.ones(len(t.tokens) * 1920), RATE)
    assert len(one.made) == len(one.original) == 2 * 1920
