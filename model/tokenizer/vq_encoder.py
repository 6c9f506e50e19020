"""The network of the discrete tokenizer: log-mel frames in, codes out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavemill.model import blocks
from wavemill.model.tokenizer.config import EncoderConfig, VqConfig

ROWS_AT_ONCE = 4096  # bounds memory while hidden states are held against a codebook


@dataclass(frozen=True)
class VqOutput:
    """Codes int64 (batch, tokens), and hidden states (batch, tokens, d_model) around them."""

    codes: Tensor
    unquantized: Tensor  # what the codes were chosen for
    last_hidden: Tensor  # after the codebook and the layers that follow it, if any


class VqEncoder(nn.Module):
    """Names of tensors are those of the published checkpoint (glm-4-voice-tokenizer)."""

    ema_count: Tensor
    ema_weight: Tensor

    def __init__(self, config: VqConfig) -> None:
        """Build with random weights; on the meta device, within `torch.device("meta")`."""
        super().__init__()
        self.config = config
        width, pooled = config.d_model, config.max_source_positions // config.pooling_kernel_size
        self.conv1 = nn.Conv1d(config.num_mel_bins, width, 3)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2)
        self.embed_positions = nn.Embedding(config.max_source_positions, width)
        block = whisper_config(config)
        self.layers = nn.ModuleList(blocks.WhisperEncoderLayer(block) for _ in range(config.layers))
        self.codebook = nn.Embedding(config.quantize_vocab_size, width)
        self.embed_positions2 = nn.Embedding(pooled, width)
        if not config.quantize_encoder_only:
            self.layer_norm = nn.LayerNorm(width)
        if config.quantize_ema_decay is not None:  # of training; codes are looked up without them
            self.register_buffer("ema_count", torch.ones(config.quantize_vocab_size))
            self.register_buffer("ema_weight", torch.zeros(config.quantize_vocab_size, width))

    def forward(self, mel: Tensor, real: Tensor) -> VqOutput:
        """Encode log-mel frames, float (batch, 128, frames), frames even.

        `real`, (batch, frames), is 0 at padding, which no real frame sees; a token's pool does
        include the padded frames of its 80 ms. Codes of padding are meaningless.
        """
        config = self.config
        hidden = functional.gelu(self.conv2(self._pad(functional.gelu(self.conv1(self._pad(mel))))))
        hidden = hidden.transpose(1, 2)
        hidden = hidden + self.embed_positions.weight[: hidden.shape[1]]
        seen = self._visible(real[:, ::2], 1)
        for done, layer in enumerate(self.layers, start=1):
            hidden = layer(hidden, seen)
            if done == config.pooling_position:
                hidden = self._pool(hidden)
                step = 2 * config.pooling_kernel_size
                seen = self._visible(real[:, ::step], config.pooling_kernel_size)
            if done == config.quantize_position:
                unquantized, codes = hidden, self.nearest(hidden)
                hidden = self._quantized(hidden, codes)
                hidden = hidden + self.embed_positions2.weight[: codes.shape[1]]
        if not config.quantize_encoder_only:
            hidden = self.layer_norm(hidden)
        return VqOutput(codes, unquantized, hidden)

    def nearest(self, hidden: Tensor) -> Tensor:
        """Return the code of least Euclidean distance to (..., d_model); the first on ties."""
        codebook = self.codebook.weight
        norms = codebook.square().sum(1)
        rows = torch.split(hidden.reshape(-1, hidden.shape[-1]), ROWS_AT_ONCE)
        codes = [(norms - 2 * part @ codebook.T).argmin(1) for part in rows]
        return torch.cat(codes).view(hidden.shape[:-1])

    def _quantized(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """Return the codes; in training, gradients pass straight through to the hidden states."""
        quantized = self.codebook(codes)
        return hidden + (quantized - hidden).detach() if self.training else quantized

    def _pad(self, frames: Tensor) -> Tensor:
        sides = (2, 0) if self.config.encoder_causal_convolution else (1, 1)
        return functional.pad(frames, sides)

    def _pool(self, hidden: Tensor) -> Tensor:
        size = self.config.pooling_kernel_size
        frames = functional.pad(hidden.transpose(1, 2), (0, -hidden.shape[1] % size))
        average = self.config.pooling_type == "avg"
        pool = functional.avg_pool1d if average else functional.max_pool1d
        return pool(frames, size).transpose(1, 2)

    def _visible(self, real: Tensor, pooled: int) -> Tensor:
        """Return which keys a query sees, bool (batch or 1, 1, queries, keys)."""
        places = torch.arange(real.shape[1], device=real.device)
        if self.config.causal:  # which drops the padding mask; padding is on the right
            return (places <= places[:, None])[None, None]
        if (frames := self.config.quantize_causal_block_size) is None:
            return real.bool()[:, None, None]
        block = places // (frames // pooled)
        # Blocks are cut in order, so all keys of a query's own block and before are seen.
        return (block <= block[:, None])[None, None] & real.bool()[:, None, None]


def whisper_config(config: EncoderConfig) -> blocks.WhisperConfig:
    """Return what the blocks of `transformers` need to know."""
    block = blocks.WhisperConfig(
        d_model=config.d_model,
        encoder_layers=config.encoder_layers,
        encoder_attention_heads=config.encoder_attention_heads,
        encoder_ffn_dim=config.encoder_ffn_dim,
        max_source_positions=config.max_source_positions,
        num_mel_bins=config.num_mel_bins,
    )
    block._attn_implementation = "sdpa"
    return block
