"""Speech trainings logged no FLOPs utilisation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.model.train.speech.made import made_batch
from tests.model.train.speech.test_learners import ENCODER, FLOW, TOKENIZER, VOCODER
from wavemill.model.data.clips import ClipBatch
from wavemill.model.detokenizer.bigvgan import BigVgan
from wavemill.model.detokenizer.flow import FlowNetwork
from wavemill.model.train.learner import Learner, Progress
from wavemill.model.train.speech.discriminators import DiscriminatorSettings
from wavemill.model.train.speech.flow import FlowLearner, FlowSettings
from wavemill.model.train.speech.tokenizer import TokenizerLearner
from wavemill.model.train.speech.vocoder import VocoderLearner, VocoderSettings

# Without groups: of grouped convolutions torch counts the weights' gradients as if there were none.
JUDGES = DiscriminatorSettings(
    periods=(2, 5),
    period_channels=(4, 8),
    scales=2,
    scale_channels=(3,) * 7,
    resolutions=((512, 120, 480),),
    resolution_channels=4,
)


def counted(learner: Learner[ClipBatch], batch: ClipBatch, progress: Progress) -> int:
    """Return what torch counts in one step, attention spelled out so that it sees it."""
    learner.prepare(progress)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        for name in learner.optimized():
            if learner.learns(name, progress):
                learner.loss(name, batch, progress).total.backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("layers_behind", [0, 2])
def test_those_of_the_tokenizer_are_what_torch_counts(layers_behind: int) -> None:
    more = {"encoder_layers": 1 + layers_behind, "quantize_encoder_only": not layers_behind}
    learner = TokenizerLearner(ENCODER.model_copy(update=more), TOKENIZER)
    batch = replace(made_batch(3), texts=("one", "", "twenty one"))
    found = counted(learner, batch, Progress(0, 0, 1, learner.counts(batch)))
    assert learner.flops(batch) == found > 0


@pytest.mark.parametrize("chunked", [False, True])
def test_those_of_the_flow_network_are_what_torch_counts(chunked: bool) -> None:
    settings = FlowSettings(chunked=chunked, shortest_chunk_s=0.08, longest_chunk_s=0.24)
    learner = FlowLearner(FlowNetwork(FLOW), BigVgan(VOCODER), settings)
    batch = made_batch(3, rate=24_000)
    assert learner.flops(batch) == counted(learner, batch, Progress(0, 0, 1)) > 0


@pytest.mark.parametrize("judged", [False, True])
@pytest.mark.parametrize("tokens", [2, 3])
def test_those_of_the_vocoder_are_what_torch_counts(judged: bool, tokens: int) -> None:
    settings = VocoderSettings(discriminators=JUDGES, mel_only_share=0.5)
    learner = VocoderLearner(BigVgan(VOCODER), FlowNetwork(FLOW), settings)
    batch = made_batch(2, rate=24_000, tokens=tokens)
    found = counted(learner, batch, Progress(0, 6 if judged else 4, 10))
    assert learner.flops(batch) == found > 0
