"""The flow network behind prompts of the same speaker."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from tests.model.detokenizer.made import CONFIG, fill
from tests.model.train.speech.made import made_clip
from wavemill.model.data.clips import ClipSettings, Prompt, batch_of
from wavemill.model.data.source import Problems
from wavemill.model.detokenizer.bigvgan import BigVgan
from wavemill.model.detokenizer.flow import FlowNetwork
from wavemill.model.train.learner import MAIN, Progress
from wavemill.model.train.speech.flow import FlowLearner, FlowSettings
from wavemill.model.train.speech.recipe import TokenizerRecipe, VocoderRecipe

RATE = 600  # Hz, at which the four frames of a token have the 12 samples each of CONFIG


@pytest.mark.parametrize("chunked", [False, True])
def test_a_prompt_is_given_and_not_learnt(chunked: bool) -> None:
    flow = FlowNetwork(CONFIG.flow)
    fill(flow)
    learner = FlowLearner(flow, BigVgan(CONFIG.vocoder), FlowSettings(chunked=chunked))
    clip, other = made_clip(1, 5), made_clip(3, 4)
    made = batch_of([replace(clip, prompt=Prompt(other.part(1, 3), 1)), clip], RATE, Problems())
    assert made is not None
    progress = Progress(0, 0, 1)
    torch.manual_seed(0)
    found = learner.loss(MAIN, made, progress)
    assert found.parts["loss/velocity"][1] == (5 + 5) * 4
    # What the frames of the clip are to become does not depend on the prompt's own noise, but the
    # network looks at the prompt.
    torch.manual_seed(0)
    louder = made.audio.clone()
    louder[0, : 3 * 1920] *= 0.1
    assert learner.loss(MAIN, replace(made, audio=louder), progress).total != found.total


def test_only_the_flow_network_knows_prompts() -> None:
    clips = ClipSettings(prompt_share=0.5)
    for recipe in (VocoderRecipe, TokenizerRecipe):
        with pytest.raises(ValidationError, match="prompts are for the flow network"):
            recipe(clips=clips)
