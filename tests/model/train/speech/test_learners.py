from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.model.train.speech.made import VOCABULARY, made_batch, take_steps
from wavemill.model.audio import vocoder_log_mel
from wavemill.model.data.clips import ClipBatch
from wavemill.model.detokenizer.bigvgan import BigVgan
from wavemill.model.detokenizer.config import FlowConfig, VocoderConfig
from wavemill.model.detokenizer.detokenizer import Detokenizer
from wavemill.model.detokenizer.flow import FlowNetwork
from wavemill.model.tokenizer.acoustic import AcousticEncoder
from wavemill.model.tokenizer.config import EncoderConfig, VqConfig
from wavemill.model.tokenizer.semantic import SemanticTokenizer
from wavemill.model.train.learner import MAIN, Progress
from wavemill.model.train.speech.discriminators import DiscriminatorSettings
from wavemill.model.train.speech.flow import FlowLearner, FlowSettings, start_quiet
from wavemill.model.train.speech.text_decoder import TextDecoderConfig
from wavemill.model.train.speech.tokenizer import (
    CodebookSettings,
    TokenizerLearner,
    TokenizerSettings,
)
from wavemill.model.train.speech.vocoder import VocoderLearner, VocoderSettings, plain

ENCODER = VqConfig(
    d_model=32,
    encoder_layers=1,
    encoder_attention_heads=2,
    encoder_ffn_dim=64,
    pooling_position=1,
    quantize_position=1,
    quantize_vocab_size=16,
    quantize_encoder_only=True,
)
TOKENIZER = TokenizerSettings(
    decoder=TextDecoderConfig(layers=1, heads=2, ffn_dim=64, most_bytes=8),
    codebook=CodebookSettings(decay=0.9, dead_after_steps=10),
)
FLOW = FlowConfig(semantic_vocab_size=VOCABULARY, hidden_size=48, depth=2, num_heads=2)
VOCODER = VocoderConfig(
    upsample_rates=(24, 20),
    upsample_kernel_sizes=(48, 40),
    upsample_initial_channel=32,
    resblock_kernel_sizes=(3,),
    resblock_dilation_sizes=((1, 3),),
    use_tanh_at_final=False,
)
JUDGES = DiscriminatorSettings(
    periods=(2, 5),
    period_channels=(4, 8),
    scales=1,
    scale_channels=(4, 4, 8, 8, 8, 8, 8),
    resolutions=((512, 120, 480),),
    resolution_channels=4,
)


@pytest.fixture(scope="module")
def speech() -> ClipBatch:
    return made_batch(rate=24_000)


@pytest.fixture(scope="module")
def short() -> ClipBatch:
    return made_batch(2, rate=24_000, tokens=2)


def made_flow(settings: FlowSettings) -> FlowLearner:
    torch.manual_seed(0)
    flow = FlowNetwork(FLOW)
    start_quiet(flow)
    return FlowLearner(flow, BigVgan(VOCODER), settings)


def test_tokenizer_learns_what_is_said_and_is_read_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    batch = made_batch()
    learner = TokenizerLearner(ENCODER, TOKENIZER, held_out=batch)
    losses = [step[MAIN] for step in take_steps(learner, batch, 60, 1e-2)]
    assert losses[-1] < 0.1 * losses[0]
    heard = {example.reference: example.answer for example in learner.examples(4)}
    assert all(answer == said for said, answer in heard.items())
    assert learner.encoder.training  # examples leave no trace
    learner.export(tmp_path)
    read = SemanticTokenizer.from_pretrained(tmp_path)
    sounds = [audio[: int(n)] for audio, n in zip(batch.audio, batch.samples, strict=True)]
    learner.encoder.eval()
    wanted = SemanticTokenizer(learner.encoder).encode(sounds)
    assert all(map(np.array_equal, read.encode(sounds), wanted))
    assert len(np.unique(np.concatenate(wanted))) > 1
    assert "quantize_ema_decay" in (tmp_path / "config.json").read_text(encoding="utf-8")


def test_codes_get_no_gradient_and_states_do() -> None:
    learner = TokenizerLearner(ENCODER, TOKENIZER)
    take_steps(learner, made_batch(), 1)
    assert learner.encoder.codebook.weight.grad is None
    assert float(learner.encoder.conv1.weight.grad.abs().sum()) > 0


def test_tokenizer_begins_with_whisper(tmp_path: Path) -> None:
    whisper = AcousticEncoder(
        EncoderConfig(**ENCODER.model_dump(include=set(EncoderConfig.model_fields)))
    )
    whisper.save_pretrained(tmp_path)
    learner = TokenizerLearner(ENCODER, TOKENIZER)
    learner.start_from_whisper(tmp_path)
    wanted = whisper.encoder.layers[0].fc1.weight
    assert torch.equal(learner.encoder.layers[0].fc1.weight, wanted)
    assert torch.equal(learner.encoder.conv2.weight, whisper.encoder.conv2.weight)


@pytest.mark.parametrize("chunked", [False, True])
def test_flow_learns(speech: ClipBatch, chunked: bool) -> None:
    short = FlowSettings(chunked=chunked, shortest_chunk_s=0.08, longest_chunk_s=0.24)
    learner = made_flow(short)
    losses = [step[MAIN] for step in take_steps(learner, speech, 40, 5e-3)]
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_flow_is_read_again(speech: ClipBatch, tmp_path: Path) -> None:
    learner = made_flow(FlowSettings())
    take_steps(learner, speech, 3, 1e-2)
    learner.export(tmp_path)
    read = Detokenizer.from_pretrained(tmp_path)
    wanted = Detokenizer(learner.flow, learner.vocoder)
    said = [d.decode([1, 2, 3], torch.Generator().manual_seed(0)) for d in (read, wanted)]
    torch.testing.assert_close(*said, atol=1e-5, rtol=1e-4)
    assert float(said[0].abs().sum()) > 0


def test_vocoder_learns_against_judges_and_is_read_again(short: ClipBatch, tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = VocoderSettings(discriminators=JUDGES)
    learner = VocoderLearner(BigVgan(VOCODER), FlowNetwork(FLOW), settings)
    losses = take_steps(learner, short, 12, 2e-3)
    assert losses[-1]["discriminator"] < losses[0]["discriminator"]
    assert losses[-1]["generator"] < 0.7 * losses[0]["generator"]
    mel = vocoder_log_mel(short.audio, VOCODER)
    with torch.no_grad():
        wanted = learner.vocoder(mel)
        torch.testing.assert_close(plain(learner.vocoder)(mel), wanted, atol=1e-5, rtol=1e-4)
        learner.export(tmp_path)
        read = Detokenizer.from_pretrained(tmp_path).vocoder
        torch.testing.assert_close(read(mel), wanted, atol=1e-5, rtol=1e-4)


def test_each_side_moves_alone(short: ClipBatch) -> None:
    learner = VocoderLearner(
        BigVgan(VOCODER), FlowNetwork(FLOW), VocoderSettings(discriminators=JUDGES)
    )
    learner.loss("generator", short, Progress(0, 0, 1)).total.backward()
    assert all(p.grad is None for p in learner.discriminators.parameters())
    assert all(p.requires_grad for p in learner.discriminators.parameters())
    learner.vocoder.zero_grad()
    learner.loss("discriminator", short, Progress(0, 0, 1)).total.backward()
    assert all(p.grad is None for p in learner.vocoder.parameters())


def test_judges_may_come_later(short: ClipBatch) -> None:
    torch.manual_seed(0)
    settings = VocoderSettings(discriminators=JUDGES, mel_only_share=0.5)
    learner = VocoderLearner(BigVgan(VOCODER), FlowNetwork(FLOW), settings)
    losses = take_steps(learner, short, 4)
    assert ["discriminator" in step for step in losses] == [False, False, True, True]


def test_what_is_softer_than_said_is_not_learnt(short: ClipBatch) -> None:
    def mel_loss(softest: float | None) -> float:
        torch.manual_seed(0)
        settings = VocoderSettings(discriminators=JUDGES, mel_only_share=1.0, softest=softest)
        learner = VocoderLearner(BigVgan(VOCODER), FlowNetwork(FLOW), settings)
        loss = learner.loss("generator", short, Progress(0, 0, 1))
        return float(loss.parts["loss/mel"])

    every, none, some = mel_loss(None), mel_loss(10.0), mel_loss(-5.0)
    assert none == 0  # all of it is softer
    assert 0 < some < every
