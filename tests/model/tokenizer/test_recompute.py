from __future__ import annotations

import torch

from wavemill.model.tokenizer.acoustic import AcousticEncoder
from wavemill.model.tokenizer.config import EncoderConfig
from wavemill.model.train import layers
from wavemill.model.train.recipe import LoopSettings


def test_an_encoder_that_recomputes_keeps_less_and_learns_the_same() -> None:
    widths = {"d_model": 16, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
    gradients, kept = [], []
    for recompute in (False, True):
        torch.manual_seed(0)
        encoder = AcousticEncoder(EncoderConfig(encoder_layers=4, **widths))
        layers.prepare(encoder.encoder.layers, LoopSettings(recompute=recompute))
        sizes: list[int] = []

        def note(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.nbytes)
            return tensor

        mels = torch.randn(2, 128, 80, generator=torch.Generator().manual_seed(1))
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            rows = encoder.encode(mels)
        kept.append(sum(sizes))
        rows.square().sum().backward()  # type: ignore[no-untyped-call]
        gradients.append(encoder.get_parameter("encoder.layers.0.fc1.weight").grad)
    torch.testing.assert_close(*gradients)
    assert kept[1] < kept[0] / 2
