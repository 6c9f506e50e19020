"""The audio LLM: a trunk of shared layers, a text branch with its head, an audio branch with its.

Report section 2.3. Modules have the names of the published checkpoints' tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from wavemill.model import blocks
from wavemill.model.io.folders import resolve, validated
from wavemill.model.io.tensors import fill, save
from wavemill.model.llm.cache import KeyValueCache
from wavemill.model.llm.config import LlmConfig
from wavemill.model.llm.packed import Documents, implementation

# The published files store rotary frequencies, which the published class ignores as well.
IGNORED = r"\.rotary_emb\.inv_freq$"


@dataclass(frozen=True)
class LlmOutput:
    """Scores of the next id of each stream, (batch, positions, vocab_size) in the model's dtype.

    Both heads score the whole vocabulary: text, special and audio ids.
    """

    audio_logits: Tensor  # of the `mimo_output` head
    text_logits: Tensor  # of the `lm_head` head


class Adaptor(nn.Module):
    """Projects acoustic features to the width of the LLM: (..., feature_width) -> (..., hidden)."""

    def __init__(self, config: LlmConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(config.feature_width, config.hidden_size),
            nn.SiLU(),
            nn.Identity(),  # a dropout of 0 in the published code, which numbers the next layer 3
            nn.Linear(config.hidden_size, config.hidden_size),
            nn.LayerNorm(config.hidden_size, eps=config.rms_norm_eps),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


class Trunk(nn.Module):
    """The embedding, the shared layers, and both branches up to their final norms."""

    def __init__(self, config: LlmConfig) -> None:
        super().__init__()
        self.config = config
        block, shared = _block_config(config), config.num_hidden_layers
        width, eps = config.hidden_size, config.rms_norm_eps
        self.embed_tokens = nn.Embedding(config.vocab_size, width, config.pad_token_id)
        self.layers = nn.ModuleList(blocks.Qwen2DecoderLayer(block, i) for i in range(shared))
        self.norm = blocks.Qwen2RMSNorm(width, eps)
        self.mimo_layers = nn.ModuleList(
            blocks.Qwen2DecoderLayer(block, shared + i) for i in range(config.audio_layers)
        )
        self.mimo_norm = blocks.Qwen2RMSNorm(width, eps)
        self.vq_adaptor = Adaptor(config)
        self.recompute = False  # activations, in the backward pass: slower, far less memory

    def embed(
        self,
        audio_ids: Tensor,
        text_ids: Tensor | None,
        features: Tensor | None,
        continuous: Tensor | None,
    ) -> Tensor:
        """Return the sum of both embeddings and the features, (batch, positions, hidden).

        Raises ValueError when features and `continuous` positions differ in number.
        """
        hidden = self.embed_tokens(audio_ids)
        if features is not None:
            if continuous is None or int(continuous.sum()) != len(features):
                marked = None if continuous is None else int(continuous.sum())
                raise ValueError(f"{len(features)} rows of features for {marked} positions")
            adapted = self.vq_adaptor(features.to(hidden.dtype))
            scale = adapted.new_tensor(2.0).sqrt()  # rounded to the dtype, as published
            hidden = hidden.masked_scatter(
                continuous[..., None], (hidden[continuous] + adapted) * scale
            )
        return hidden if text_ids is None else hidden + self.embed_tokens(text_ids)

    def forward(
        self, hidden: Tensor, speaks: bool = True, **attention: Any
    ) -> tuple[Tensor, Tensor]:
        """Return the normed outputs of the audio branch and of the text branch, as `hidden`.

        With `speaks` False the audio branch is skipped, and its output is meaningless.
        """
        audio = hidden
        for index, layer in enumerate(self.layers):
            hidden = self._through(layer, hidden, attention)
            if index == self.config.branch_layer:
                audio = hidden
        for layer in self.mimo_layers if speaks else ():
            audio = self._through(layer, audio, attention)
        return self.mimo_norm(audio), self.norm(hidden)

    def _through(self, layer: nn.Module, hidden: Tensor, attention: dict[str, Any]) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(layer, hidden, use_reentrant=False, **attention)
        return layer(hidden, **attention)


class AudioLlm(nn.Module):
    """Reads two token streams and scores the next token of both."""

    def __init__(self, config: LlmConfig) -> None:
        """Build with random weights (or, inside `torch.device("meta")`, without weights)."""
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.mimo_output = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.apply(self._draw)

    def forward(
        self,
        audio_ids: Tensor,
        text_ids: Tensor | None,
        *,
        features: Tensor | None = None,
        continuous: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: KeyValueCache | None = None,
        last_only: bool = False,
    ) -> LlmOutput:
        """Score the next ids after every position.

        `audio_ids` and `text_ids`, int64 (batch, positions), are the two streams; without
        `text_ids` no text embedding is added. `features`, float (rows, feature_width), are
        acoustic features of the True positions of `continuous`, bool (batch, positions), row by
        row of the batch; without features, `continuous` is not looked at. `attention_mask`
        (batch, keys) is 0 at padding, on either side; what padding predicts is meaningless, and
        keys beyond the mask's end are real. `position_ids` (batch, positions) default to places
        in the sequence: a batch padded on the left should restart them at its first real token.
        With a `cache`, the positions follow those that it holds, and `attention_mask` starts
        with the first of those. `last_only` scores the last position alone. Raises ValueError
        when features and positions differ in number.

        Differs from the published model file (docs/published-format.md, "Audio LLM") where that
        fails: features of several rows and several segments, and prompts without audio. The
        published file also leaves out the text embedding whenever all text ids of a call are 0,
        which in a decoding step is an exclamation mark; here only `text_ids` None leaves it out.
        """
        hidden = self.model.embed(audio_ids, text_ids, features, continuous)
        audio, text = self.model(
            hidden, **self._attention(hidden, attention_mask, position_ids, cache)
        )
        if cache is not None:
            cache.advance(hidden.shape[1])
        if last_only:
            audio, text = audio[:, -1:], text[:, -1:]
        return LlmOutput(self.mimo_output(audio), self.lm_head(text))

    def branches(
        self,
        audio_ids: Tensor,
        text_ids: Tensor,
        *,
        features: Tensor | None,
        continuous: Tensor,
        position_ids: Tensor,
        documents: Documents,
        speaks: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Return the inputs of the audio head and of the text head, (1, positions, hidden) each.

        Like `forward`, on one row (1, positions) of packed documents, none of which attends to
        another; `position_ids` restart in each. With `speaks` False the input of the audio head
        is meaningless.
        """
        hidden = self.model.embed(audio_ids, text_ids, features, continuous)
        attention = self._attention(hidden, None, position_ids, None)
        return self.model(hidden, speaks, documents=documents, **attention)

    @classmethod
    def from_pretrained(
        cls, source: str | Path, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> AudioLlm:
        """Read `config.json` and the (sharded) safetensors of a folder or a hub id.

        Tensors are mapped from the file and loaded straight to `device` and `dtype` (None: as
        stored). Raises WeightsError when a tensor is missing, unknown or of another shape.
        """
        folder = resolve(source)
        with torch.device("meta"):
            network = cls(validated(LlmConfig, folder))
        fill(network, folder, device, dtype, ignore=IGNORED)
        return network.eval()

    def save_pretrained(self, folder: Path, shard_bytes: int = 5 * 10**9) -> None:
        """Write what `from_pretrained` reads, in shards of at most `shard_bytes`."""
        save(self, self.config.published(), folder, shard_bytes)

    def _attention(
        self,
        hidden: Tensor,
        real: Tensor | None,
        position_ids: Tensor | None,
        cache: KeyValueCache | None,
    ) -> dict[str, Any]:
        count, device = hidden.shape[1], hidden.device
        slots = torch.arange(count, device=device) if cache is None else cache.slots(count, device)
        keys = count if cache is None else cache.keys_seen(count)
        # Without a mask, attention is causal from the first key on: right only at the start.
        plain = real is None and (keys == count or (count == 1 and cache and not cache.static))
        positions = slots[None] if position_ids is None else position_ids
        config = self.config
        return {
            "attention_mask": None if plain else visible(slots, keys, real),
            "position_embeddings": rotary(
                positions, config.head_width, config.rope_theta, hidden.dtype
            ),
            blocks.cache_argument(): cache,
        }

    def _draw(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def rotary(
    positions: Tensor, width: int, theta: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return the rotary embedding of `positions` (batch, count): cosines and sines.

    Each is (batch, count, width) in `dtype`, computed in float32 and then rounded, as the
    published tables are; the two halves of a head are rotated against each other.
    """
    steps = torch.arange(0, width, 2, dtype=torch.float32, device=positions.device)
    angles = positions[..., None].float() * (1.0 / theta ** (steps / width))
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def visible(slots: Tensor, keys: int, real: Tensor | None) -> Tensor:
    """Return the attention mask, bool (batch or 1, 1, queries, keys): True where a query attends.

    `slots`, int64 (queries,), are the positions of the queries among `keys`; `real` (batch,
    <= keys) is False or 0 where a key is padding. A query attends to every real key up to its own
    position, and always to itself: a padded query that attends to nothing would give NaN.
    """
    places = torch.arange(keys, device=slots.device)
    seen = (places <= slots[:, None])[None]
    if real is not None:
        padded = torch.nn.functional.pad(real.bool(), (0, keys - real.shape[1]), value=True)
        seen = seen & padded[:, None] | (places == slots[:, None])
    return seen[:, None]


def _block_config(config: LlmConfig) -> blocks.Qwen2Config:
    block = blocks.Qwen2Config(
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers + config.audio_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        rms_norm_eps=config.rms_norm_eps,
        use_sliding_window=False,
    )
    block._attn_implementation = implementation()
    return block
