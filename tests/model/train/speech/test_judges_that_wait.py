"""While the vocoder learnt alone, its judges took steps along no gradient.

Their weights decayed, and their moments were of a training that had not begun: the first steps
with a gradient were up to three times too long.
"""

from __future__ import annotations

from pathlib import Path

import torch

from tests.model.data.made import segment_row, write
from wavemill.model.data.source import Prefetched
from wavemill.model.train.loop import Training
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.speech.recipe import DetokenizerRecipe
from wavemill.model.train.speech.setup import DetokenizerTraining
from wavemill.model.train.speech.vocoder import DISCRIMINATOR, VocoderLearner

RATE = 1e-3
VOCODER = {
    "hours": 0.004,
    "clips": {"crop_tokens": 3, "batch_s": 0.24},
    "vocoder": {
        "mel_only_share": 0.5,
        "discriminators": {
            "periods": [2], "period_channels": [4, 4], "scales": 0, "resolutions": [],
        },
    },
    "loop": {
        "optimizer": {"learning_rate": RATE, "final_learning_rate": RATE, "warm_up": 0.0},
        "checkpoint": {"minutes": 60},
        "evaluation": {"batches": 1, "examples": 0},
    },
}  # fmt: skip


def test_judges_begin_fresh_when_their_turn_comes(tmp_path: Path) -> None:
    corpus = write(tmp_path, "pretrain", [[segment_row(r, 0) for r in range(6)]])
    recipe = DetokenizerRecipe.model_validate({"vocoder": VOCODER})
    job = DetokenizerTraining(str(corpus), recipe.vocoder, tmp_path, "vocoder", recipe.preset)
    learner, data = job.learner(), job.data(Ranks())
    assert isinstance(learner, VocoderLearner)
    training = Training(
        learner, Prefetched(data.batches), job.loop, data.total_units, tmp_path, Ranks()
    )
    judges = list(learner.discriminators.parameters())
    before = [one.detach().clone() for one in judges]
    while 2 * training.units < training.total_units:
        training._one_step()
    assert all(torch.equal(a, b) for a, b in zip(judges, before, strict=True))
    assert not training._stepper.optimizers[DISCRIMINATOR].state
    assert training.step > 10
    training._one_step()
    training.batches.close()
    moved = [(a.detach() - b).abs().max() for a, b in zip(judges, before, strict=True)]
    # A first step of Adam is as long as the rate, and weight decay on top.
    assert 0.9 * RATE < float(torch.stack(moved).max()) < 1.5 * RATE
    taken = {
        float(one["step"]) for one in training._stepper.optimizers[DISCRIMINATOR].state.values()
    }
    assert taken == {1.0}
