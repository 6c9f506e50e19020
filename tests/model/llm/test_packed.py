"""Packed documents give what each gives alone."""

from __future__ import annotations

import pytest
import torch

from wavemill.model.llm.config import preset
from wavemill.model.llm.network import AudioLlm
from wavemill.model.llm.packed import Documents
from wavemill.model.train import layers
from wavemill.model.train.recipe import LoopSettings


def test_packed_is_the_same_as_separate() -> None:
    torch.manual_seed(0)
    network = AudioLlm(preset("tiny")).eval()
    lengths = (5, 1, 12)
    total = sum(lengths)
    audio, text = (torch.randint(0, 2000, (1, total)) for _ in range(2))
    continuous = torch.zeros(1, total, dtype=torch.bool)
    continuous[0, [1, 2, 9, 10]] = True
    features = torch.randn(4, 256)
    positions = torch.cat([torch.arange(n) for n in lengths])[None]
    packed = network.branches(
        audio, text, features=features, continuous=continuous, position_ids=positions,
        documents=Documents.of(lengths, audio.device),
    )  # fmt: skip
    heads = (network.mimo_output(packed[0]), network.lm_head(packed[1]))
    start = 0
    for length in lengths:
        span = slice(start, start + length)
        used = int(continuous[0, :start].sum())
        here = int(continuous[0, span].sum())
        alone = network(
            audio[:, span], text[:, span], continuous=continuous[:, span],
            features=features[used : used + here] if here else None,
        )  # fmt: skip
        torch.testing.assert_close(heads[0][:, span], alone.audio_logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(heads[1][:, span], alone.text_logits, atol=1e-5, rtol=1e-5)
        start += length


def test_recomputed_activations_give_the_same_gradients() -> None:
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        network = AudioLlm(preset("tiny"))
        model = network.model
        settings = LoopSettings(recompute=recompute)
        layers.prepare([*model.layers, *model.mimo_layers], settings)
        ids = torch.arange(8)[None]
        audio, text = network.branches(
            ids, ids, features=None, continuous=ids > 99, position_ids=ids,
            documents=Documents.of((3, 5), ids.device),
        )  # fmt: skip
        (audio.square().sum() + text.sum()).backward()
        gradients.append(network.model.layers[0].mlp.up_proj.weight.grad)
    torch.testing.assert_close(*gradients)


def test_embedding_takes_a_norm_that_autocast_keeps_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a GPU, where parameters that are sharded arrive in bfloat16."""
    network = AudioLlm(preset("tiny")).to(torch.bfloat16)
    norm = torch.nn.functional.layer_norm
    monkeypatch.setattr(
        torch.nn.functional, "layer_norm", lambda *given, **named: norm(*given, **named).float()
    )
    ids = torch.arange(8)[None]
    features = torch.randn(3, network.config.feature_width)
    audio, text = network.branches(
        ids, ids, features=features, continuous=ids < 3, position_ids=ids,
        documents=Documents.of((3, 5), ids.device),
    )  # fmt: skip
    assert audio.dtype == text.dtype == torch.bfloat16
