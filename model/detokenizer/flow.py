"""The flow-matching network: noisy mel frames, tokens and a time to velocities.

A transformer whose norms are modulated per frame (report section 2.4; what is computed is in
`docs/published-format.md`, "Flow network"). Shapes: B items, T frames, K keys (cached ones, then
the T), M mel bands, C width. Parameter names are those of the published checkpoint without its
prefix `speech_model.`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from wavemill.model.detokenizer.config import FlowConfig, RopeSettings

TIME_FEATURES = 256
NORM_EPSILON = 1e-6

KeyValue = tuple[Tensor, Tensor]  # (B, frames, heads, head_size) each
Rotation = tuple[Tensor, Tensor]  # cosines and sines, float32 (..., frames, 1, head_size / 2)


def rotation_at(positions: Tensor, head_size: int, settings: RopeSettings) -> Rotation:
    """Return the rotation of integer `positions` (..., frames), computed in float32.

    Pair i is rotated by position / factor * base^(-2i / head_size). The published table ends at
    4096 rows; here any position has a rotation.
    """
    pairs = torch.arange(0, head_size, 2, device=positions.device, dtype=torch.float32)
    frequencies = 1.0 / settings.rope_base ** (pairs / head_size)
    scaled = positions.float() / settings.rope_interpolation_factor
    angles = (scaled[..., None] * frequencies)[..., None, :]
    return angles.cos(), angles.sin()


def rotate(x: Tensor, by: Rotation | None) -> Tensor:
    """Rotate adjacent pairs of `x` (..., frames, heads, head_size) in float32; dtype of `x`.

    `by` None, for a network without rotary embedding, returns `x`.
    """
    if by is None:
        return x
    cos, sin = by
    even, odd = x.float()[..., 0::2], x.float()[..., 1::2]
    rotated = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return rotated.flatten(-2).to(x.dtype)


class RankedSinusoids(nn.Module):
    """The published `sincos` embedding, which numbers the frames of each call from one.

    Frames at a position other than 0 get rows 1, 2, 3, ... in their order, position 0 gets zeros:
    a network trained so never sees absolute positions, and its checkpoint needs the same.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pairs = width // 2
        self.register_buffer("_float_tensor", torch.zeros(1))  # unused; stands in checkpoints

    def forward(self, positions: Tensor) -> Tensor:
        """Turn int64 (..., frames) into float32 (..., frames, width): sines, then cosines."""
        seen = positions != 0
        ranks = seen.cumsum(-1)
        steps = torch.arange(self.pairs, device=positions.device, dtype=torch.float32)
        frequencies = 10_000.0 ** (-steps / (self.pairs - 1))
        angles = ranks[..., None] * frequencies
        return torch.cat((angles.sin(), angles.cos()), dim=-1) * seen[..., None]


class TimeEmbedding(nn.Module):
    """An integer time in 0 ... 1000 to a vector."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first = nn.Linear(TIME_FEATURES, width)
        self.mlp = nn.Sequential(first, nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: Tensor) -> Tensor:
        """Turn int64 (B,) into (B, C)."""
        return self.mlp(time_features(time).to(next(self.mlp.parameters()).dtype))


def time_features(time: Tensor) -> Tensor:
    """Return float32 (B, TIME_FEATURES): cosines, then sines, of time * 10000^(-i / 128)."""
    half = TIME_FEATURES // 2
    steps = torch.arange(half, device=time.device, dtype=torch.float32)
    angles = time.float()[:, None] * 10_000.0 ** (-steps / half)
    return torch.cat((angles.cos(), angles.sin()), dim=-1)


class Attention(nn.Module):
    """Complete attention over [cached frames, current frames], without causality."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.heads = config.num_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self, x: Tensor, rotation: Rotation | None, past: KeyValue | None, mask: Tensor | None
    ) -> tuple[Tensor, KeyValue]:
        """Return (B, T, C), and the current frames' keys (not rotated) and values."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        keys, values = rotate(key, rotation), value
        if past is not None:
            keys, values = torch.cat((past[0], keys), 1), torch.cat((past[1], values), 1)
        mixed = functional.scaled_dot_product_attention(
            rotate(query, rotation).transpose(1, 2),
            keys.transpose(1, 2),
            values.transpose(1, 2),
            attn_mask=mask,
        )
        return self.proj(mixed.transpose(1, 2).flatten(2)), (key, value)


class Mlp(nn.Module):
    """Linear, GELU in its tanh approximation, linear."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, C) to the same shape."""
        return self.fc2(functional.gelu(self.fc1(x), approximate="tanh"))


class Block(nn.Module):
    """Attention and MLP, each behind a modulated norm and a gate, all given by the condition."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.attn = Attention(config)
        self.mlp = Mlp(width, int(width * config.mlp_ratio))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(
        self,
        x: Tensor,
        condition: Tensor,
        rotation: Rotation | None,
        past: KeyValue | None,
        mask: Tensor | None,
    ) -> tuple[Tensor, KeyValue]:
        """Map `x` (B, T, C) under `condition` (B, T, C); also return this block's key and value."""
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = self.adaLN_modulation(condition).chunk(
            6, dim=-1
        )
        mixed, key_value = self.attn(_modulated_norm(x, shift, scale), rotation, past, mask)
        x = x + gate * mixed
        return x + mlp_gate * self.mlp(_modulated_norm(x, mlp_shift, mlp_scale)), key_value


class FinalLayer(nn.Module):
    """A modulated norm and a linear layer to mel bands."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.linear = nn.Linear(width, config.input_size)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Turn (B, T, C) into (B, T, M)."""
        shift, scale = self.adaLN_modulation(condition).chunk(2, dim=-1)
        return self.linear(_modulated_norm(x, shift, scale))


class FlowNetwork(nn.Module):
    """Velocity of the flow from noise to normalised mel frames."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.t_embedder = TimeEmbedding(width)
        # The last row is reserved for guidance, which the published code never came to use.
        self.semantic_token_embedding = nn.Embedding(config.semantic_vocab_size + 1, width)
        self.input_linear = nn.Linear(config.input_size, width)
        if config.position_embedding_type == "sincos":
            self.position_embedding: nn.Module | None = RankedSinusoids(width)
        elif config.position_embedding_type == "learnable":
            self.position_embedding = nn.Embedding(config.max_seq_len + 1, width)
        else:
            self.position_embedding = None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.final_layer = FinalLayer(config)
        self.recompute = False  # activations, in the backward pass: slower, far less memory

    def forward(
        self,
        x: Tensor,
        tokens: Tensor,
        time: Tensor,
        positions: Tensor,
        past: Sequence[KeyValue] | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, list[KeyValue]]:
        """Return velocities (B, T, M) and, per block, keys (not rotated) and values of the frames.

        `x` (B, T, M) normalised mel in the network's dtype, `tokens` int64 (B, T), one per frame,
        `time` int64 (B,) in 0 ... 1000, `positions` int64 (B, T), `past` per block rotated keys and
        values of earlier frames, `mask` bool, True where a frame may look, broadcast to
        (B, heads, T, K). With padding the published code forgets the rotary embedding; here a
        masked row is the row alone.
        """
        condition = self.t_embedder(time)[:, None] + self.semantic_token_embedding(tokens)
        x = self.input_linear(x)
        if self.position_embedding is not None:
            x = x + self.position_embedding(positions).to(x.dtype)
        rotation = self.rotation(positions)
        key_values = []
        for index, block in enumerate(self.blocks):
            given = (x, condition, rotation, past[index] if past else None, mask)
            x, key_value = (
                checkpoint(block, *given, use_reentrant=False)
                if self.recompute and torch.is_grad_enabled()
                else block(*given)
            )
            key_values.append(key_value)
        return self.final_layer(x, condition), key_values

    def rotation(self, positions: Tensor) -> Rotation | None:
        """Return the rotation of `positions`, or None for a network without rotary embedding."""
        if not self.config.use_rope:
            return None
        return rotation_at(positions, self.config.head_size, self.config.rope_params)


def _modulated_norm(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], eps=NORM_EPSILON) * (1 + scale) + shift
