"""The audio LLM: a trunk of shared layers, a text branch with its head, an audio branch with its.

Report section 2.3. Modules have the names of the published checkpoints' tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from wavemill.model import blocks
from wavemill.model.io.folders import resolve, validated
from wavemill.model.io.tensors import fill, save
from wavemill.model.llm.cache import Memory, Places, Reading, SlotCache, Stepping
from wavemill.model.llm.config import LlmConfig
from wavemill.model.llm.packed import Documents, implementation

# The published files store rotary frequencies, which the published class ignores as well.
IGNORED = r"\.rotary_emb\.inv_freq$"


SCORED_AT_ONCE = 2048  # positions: bounds the memory of scores over a large vocabulary


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


class Head(nn.Linear):
    """Scores of the whole vocabulary, (..., vocab_size); with wanted ids, their losses."""

    def forward(self, input: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Score (..., hidden); with `wanted`, int64 (positions,), return cross entropies.

        These are float32 (positions,), in nats. Scores of more than SCORED_AT_ONCE positions are
        made in parts, and again for the gradients. All in one call: a sharded network gathers the
        weights once, however many positions a worker has.
        """
        if wanted is None:
            return self.scores(input)
        if len(input) <= SCORED_AT_ONCE:
            # An empty result still connects the branch to the loss.
            return self._scored(input, wanted)
        pieces = zip(
            torch.split(input, SCORED_AT_ONCE), torch.split(wanted, SCORED_AT_ONCE), strict=True
        )
        parts = [checkpoint(self._scored, some, ids, use_reentrant=False) for some, ids in pieces]
        return torch.cat(parts)

    def scores(self, input: Tensor) -> Tensor:
        return super().forward(input)

    def _scored(self, hidden: Tensor, wanted: Tensor) -> Tensor:
        return functional.cross_entropy(self.scores(hidden).float(), wanted, reduction="none")


@dataclass(frozen=True)
class Branch:
    """Which positions of a row go through a branch, and what its layers are given."""

    at: Tensor | None  # int64 (positions,); None: all
    attention: Mapping[str, Any] | None  # None: its layers are skipped, its output means nothing


@dataclass(frozen=True)
class Prompts:
    """Prompts that lie one behind another in one row."""

    audio_ids: Tensor  # int64 (positions,)
    text_ids: Tensor  # int64 (positions,)
    continuous: Tensor  # bool (positions,)
    features: Tensor | None  # float (continuous positions, feature_width)
    lengths: Sequence[int]  # positions of each prompt
    owners: Sequence[int]  # the handle of each, which has its slots


@dataclass(frozen=True)
class NextIds:
    """What the next position of each row reads. Rows are in the order of `Memory.trunk`."""

    audio_ids: Tensor  # int64 (rows,)
    text_ids: Tensor  # int64 (rows,)
    lengths: Tensor  # int64 (rows,): positions that the row has
    text_rows: Tensor  # int64: the rows of `Memory.text`, in the order of its slots
    audio_rows: Tensor  # int64: the rows of `Memory.audio`


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

    def embed(
        self,
        audio_ids: Tensor,
        text_ids: Tensor | None,
        features: Tensor | None,
        continuous: Tensor | None,
    ) -> Tensor:
        """Return the sum of both embeddings and the features, (batch, positions, hidden).

        `continuous` tells where the features belong: a mask, bool (batch, positions), or places,
        int64 (rows,), counted through the rows of the batch, which spares a GPU a look at the mask.
        Raises ValueError when features and places differ in number.
        """
        # One call for both streams: a sharded network gathers the embedding once.
        both = [audio_ids] if text_ids is None else [audio_ids, text_ids]
        hidden, *written = self.embed_tokens(torch.stack(both)).unbind()
        if features is not None:
            places = continuous
            if places is not None and places.dtype == torch.bool:
                places = places.flatten().nonzero()[:, 0]
            if places is None or len(places) != len(features):
                marked = None if places is None else len(places)
                raise ValueError(f"{len(features)} rows of features for {marked} positions")
            # On a GPU, autocast makes a norm's output float32, whatever the embedding's dtype is.
            adapted = self.vq_adaptor(features.to(hidden.dtype)).to(hidden.dtype)
            scale = adapted.new_full((), 2.0).sqrt()  # rounded to the dtype, as published
            flat = hidden.flatten(0, 1)
            heard = (flat.index_select(0, places) + adapted) * scale
            hidden = flat.index_copy(0, places, heard).view_as(hidden)
        return hidden + written[0] if written else hidden

    def forward(
        self,
        hidden: Tensor,
        attention: Mapping[str, Any],
        audio: Branch | None = None,
        text: Branch | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the normed outputs of the audio branch and of the text branch, as `hidden`.

        `attention` is given to the shared layers, and to those of a branch that is None. A branch
        of no positions is skipped.
        """
        everywhere = Branch(None, attention)
        for layer in self.layers[: self.config.branch_layer + 1]:
            hidden = layer(hidden, **attention)
        rest = self.layers[self.config.branch_layer + 1 :]
        return (
            self._branch(hidden, audio or everywhere, self.mimo_layers, self.mimo_norm),
            self._branch(hidden, text or everywhere, rest, self.norm),
        )

    def _branch(
        self, hidden: Tensor, branch: Branch, layers: nn.ModuleList, norm: nn.Module
    ) -> Tensor:
        if branch.at is not None:
            hidden = hidden[:, branch.at]
        if branch.attention is not None:
            for layer in layers if hidden.shape[1] else ():
                hidden = layer(hidden, **branch.attention)
        return norm(hidden)


class AudioLlm(nn.Module):
    """Reads two token streams and scores the next token of both."""

    def __init__(self, config: LlmConfig) -> None:
        """Build with random weights (or, inside `torch.device("meta")`, without weights)."""
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        self.lm_head = Head(config.hidden_size, config.vocab_size, bias=False)
        self.mimo_output = Head(config.hidden_size, config.vocab_size, bias=False)
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
    ) -> LlmOutput:
        """Score the next ids after every position.

        `audio_ids` and `text_ids`, int64 (batch, positions), are the two streams; without
        `text_ids` no text embedding is added. `features`, float (rows, feature_width), are
        acoustic features of the True positions of `continuous`, bool (batch, positions), row by
        row of the batch; without features, `continuous` is not looked at. `attention_mask`
        (batch, positions) is 0 at padding, on either side; what padding predicts is meaningless.
        `position_ids` (batch, positions) default to places in the sequence: a batch padded on the
        left should restart them at its first real token. Raises ValueError when features and
        positions differ in number.

        Differs from the published model file (docs/published-format.md, "Audio LLM") where that
        fails: features of several rows and several segments, and prompts without audio. The
        published file also leaves out the text embedding whenever all text ids of a call are 0,
        which in a decoding step is an exclamation mark; here only `text_ids` None leaves it out.
        """
        hidden = self.model.embed(audio_ids, text_ids, features, continuous)
        if position_ids is None:
            position_ids = torch.arange(hidden.shape[1], device=hidden.device)[None]
        # Without a mask, attention is causal.
        mask = None if attention_mask is None else visible(attention_mask)
        rotary = self._rotary(position_ids, hidden)
        audio, text = self.model(hidden, {"attention_mask": mask, "position_embeddings": rotary})
        return LlmOutput(self.mimo_output(audio), self.lm_head(text))

    def read(self, prompts: Prompts, memory: Memory) -> LlmOutput:
        """Read prompts into the slots of their owners, which are the last of each cache.

        The scores behind the last position of each prompt are (prompts of the branch, vocab_size),
        in the order of the branch's slots. Raises ValueError when features and positions differ
        in number.
        """
        features, continuous = prompts.features, prompts.continuous[None]
        hidden = self.model.embed(
            prompts.audio_ids[None], prompts.text_ids[None], features, continuous
        )
        device, lengths = hidden.device, prompts.lengths
        pieces = torch.split(torch.arange(hidden.shape[1], device=device), list(lengths))
        places = torch.cat([piece - piece[0] for piece in pieces])[None]

        def read_into(cache: SlotCache) -> tuple[Branch, Tensor]:
            read = [n for n, owner in enumerate(prompts.owners) if owner in cache.owners]
            if not read:
                nowhere = torch.zeros(0, dtype=torch.int64, device=device)
                return Branch(nowhere, None), nowhere
            whole = len(read) == len(pieces)
            at = None if whole else torch.cat([pieces[n] for n in read])
            documents = Documents.of([lengths[n] for n in read], device)
            slots = [cache.owners.index(prompts.owners[n]) for n in read]
            rotary = self._rotary(places if at is None else places[:, at], hidden)
            attention = _attention(rotary, Reading(cache, slots, documents))
            return Branch(at, {**attention, "documents": documents}), documents.bounds[1:] - 1

        trunk, _ = read_into(memory.trunk)
        text, text_last = read_into(memory.text)
        audio, audio_last = read_into(memory.audio)
        assert trunk.attention is not None
        spoken, written = self.model(hidden, trunk.attention, audio, text)
        return LlmOutput(
            self.mimo_output(spoken[0, audio_last]), self.lm_head(written[0, text_last])
        )

    def step(self, given: NextIds, memory: Memory, longest: int | None) -> LlmOutput:
        """Read one more position of each row in `memory`.

        `longest` is the number of positions that the longest row then has; with None, masked
        attention runs over whole slots, so that nothing depends on how long the rows are. The
        scores are (rows of the branch, vocab_size), in the order of the branch's slots. Nothing
        here waits for the device, so that a GPU can record it.
        """
        hidden = self.model.embed(given.audio_ids[None], given.text_ids[None], None, None)

        places = Places.behind(given.lengths, longest or memory.trunk.capacity)
        cosines, sines = self._rotary(given.lengths[None], hidden)

        def branch(cache: SlotCache, rows: Tensor) -> Branch:
            if not len(rows):
                return Branch(rows, None)
            rotary = cosines[:, rows], sines[:, rows]
            return Branch(rows, _attention(rotary, Stepping(cache, places.of(rows))))

        spoken, written = self.model(
            hidden,
            _attention((cosines, sines), Stepping(memory.trunk, places)),
            branch(memory.audio, given.audio_rows),
            branch(memory.text, given.text_rows),
        )
        return LlmOutput(self.mimo_output(spoken[0]), self.lm_head(written[0]))

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
        another; `position_ids` restart in each. `continuous` may be places, as in `Trunk.embed`;
        then nothing here waits for a GPU. With `speaks` False the input of the audio head
        is meaningless.
        """
        hidden = self.model.embed(audio_ids, text_ids, features, continuous)
        rotary = self._rotary(position_ids, hidden)
        given = {"attention_mask": None, "position_embeddings": rotary, "documents": documents}
        return self.model(hidden, given, audio=None if speaks else Branch(None, None))

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

    def _rotary(self, positions: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        width, theta = self.config.head_width, self.config.rope_theta
        return rotary(positions, width, theta, hidden.dtype)

    def _draw(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def _attention(rotary: tuple[Tensor, Tensor], view: Reading | Stepping) -> dict[str, Any]:
    """Return what layers are given to read into a cache."""
    given = {"attention_mask": None, "position_embeddings": rotary}
    rows = view if isinstance(view, Stepping) else None
    return {**given, blocks.cache_argument(): view, "rows": rows}


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


def visible(real: Tensor) -> Tensor:
    """Return the attention mask, bool (batch, 1, queries, keys): True where a query attends.

    `real` (batch, positions) is False or 0 where a position is padding. A query attends to every
    real key up to its own position, and always to itself: a padded query that attends to nothing
    would give NaN.
    """
    places = torch.arange(real.shape[1], device=real.device)
    seen = (places <= places[:, None]) & real.bool()[:, None]
    return (seen | (places == places[:, None]))[:, None]


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
