"""Clips without a transcript taught the tokenizer that nothing was said."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from tests.model.train.speech.made import made_batch
from wavemill.model.train.learner import MAIN, Progress
from wavemill.model.train.speech.recipe import TokenizerRecipe
from wavemill.model.train.speech.text_decoder import END, PADDING, spelled
from wavemill.model.train.speech.tokenizer import TokenizerLearner


def test_nothing_is_wanted_of_them() -> None:
    texts = spelled(["", "a"], 10)
    assert texts.targets.tolist() == [[PADDING, PADDING], [ord("a"), END]]
    assert texts.loss_positions == 2


def test_a_batch_of_them_alone_has_a_loss() -> None:
    recipe = TokenizerRecipe()
    learner = TokenizerLearner(recipe.encoder, recipe.tokenizer)
    batch = replace(made_batch(2), texts=("", ""))
    found = learner.loss(MAIN, batch, Progress(0, 0, 1, learner.counts(batch)))
    assert torch.isfinite(found.total)
    assert float(found.parts["loss/asr"][0]) == 0


def test_parts_of_clips_are_refused() -> None:
    with pytest.raises(ValidationError, match="have no words"):
        TokenizerRecipe.model_validate({"clips": {"crop_tokens": 4}})
