"""An audio LLM that starts from a text LLM (report section 2.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wavemill.model.io.folders import WeightsError, read_config, resolve
from wavemill.model.io.tensors import fill, stored_tensors
from wavemill.model.llm.config import LlmConfig, rope_theta_of
from wavemill.model.llm.network import IGNORED, AudioLlm
from wavemill.model.prompt.layout import Vocabulary

SAME = (  # fields in which both must agree
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "rms_norm_eps",
)
VOCABULARIES = ("model.embed_tokens.weight", "lm_head.weight")


def shaped_like(source: str | Path, base: LlmConfig, text_vocab: int) -> LlmConfig:
    """Return `base` with the layers and widths of a text LLM and `text_vocab` text ids.

    The audio branch starts after three quarters of the layers, as in the published model. Raises
    WeightsError for an unknown kind of text LLM.
    """
    text = read_config(resolve(source))
    offset = text_vocab + base.audio_offset - base.text_vocab
    names = Vocabulary(text_vocab, offset)
    try:
        return LlmConfig.model_validate(
            base.published()
            | {name: text[name] for name in SAME}
            | {
                "rope_theta": rope_theta_of(text) or base.rope_theta,
                "kimia_mimo_transformer_from_layer_index": text["num_hidden_layers"] * 3 // 4,
                "num_base_tokens": text_vocab,
                "kimia_token_offset": offset,
                "vocab_size": offset + base.audio_codes,
                "pad_token_id": names.pad,
                "kimia_media_begin": names.media_begin,
                "kimia_media_end": names.media_end,
            }
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{source} is not a text LLM that is known: {error!r}") from None


def from_text_llm(
    source: str | Path,
    config: LlmConfig,
    seed: int = 0,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
) -> AudioLlm:
    """Build an audio LLM of `config` from a Qwen2 or Qwen2.5 checkpoint, a folder or a hub id.

    Its layers become the shared layers and the text branch; the first `config.text_vocab` rows of
    its vocabulary matrices become the rows of the text ids. Everything else is random: the rows
    of special and audio ids, the audio branch and its head, the adaptor. With `dtype` None all
    weights have the text LLM's dtype. Raises WeightsError when the checkpoint does not fit the
    configuration.
    """
    folder = resolve(source)
    text_config = read_config(folder)
    _check(text_config, config, folder)
    with torch.device("meta"):
        text = _TextLlm(
            config, int(text_config["vocab_size"]), bool(text_config.get("tie_word_embeddings"))
        )
        network = AudioLlm(config)
    fill(text, folder, device, dtype, ignore=f"{IGNORED}|{text.unused(folder)}")
    stored = text.state_dict()
    dtype = stored["model.norm.weight"].dtype
    generator = torch.Generator(device).manual_seed(seed)
    for name, empty in network.state_dict().items():
        tensor = stored.get(name)
        if tensor is None or name in VOCABULARIES:
            tensor = _drawn(name, empty.shape, config, generator).to(dtype)
        if name in VOCABULARIES:
            # A tied checkpoint has one matrix for both.
            rows = stored.get(name, stored["model.embed_tokens.weight"])
            tensor[: config.text_vocab] = rows[: config.text_vocab]
        owner, _, leaf = name.rpartition(".")
        setattr(network.get_submodule(owner), leaf, nn.Parameter(tensor))
    return network.eval()


class _TextLlm(nn.Module):
    """Holds the tensors of a Qwen2 checkpoint by name; it is never run."""

    def __init__(self, config: LlmConfig, vocab_size: int, tied: bool) -> None:
        super().__init__()
        whole = AudioLlm(config).model
        self.tied = tied
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(vocab_size, config.hidden_size)
        self.model.layers, self.model.norm = whole.layers, whole.norm
        if not tied:
            self.lm_head = nn.Linear(config.hidden_size, vocab_size, bias=False)

    def unused(self, folder: Path) -> str:
        """Return a pattern of the tensors that a tied checkpoint may store twice."""
        return "^lm_head" if self.tied and "lm_head.weight" in stored_tensors(folder) else "^$"


def _check(stored: dict[str, Any], config: LlmConfig, folder: Path) -> None:
    for name in SAME:
        if stored.get(name) != getattr(config, name):
            raise WeightsError(
                f"{folder}: {name} is {stored.get(name)}, wanted {getattr(config, name)}"
            )
    theta = rope_theta_of(stored)
    if theta != config.rope_theta:
        raise WeightsError(f"{folder}: rope_theta is {theta}, wanted {config.rope_theta}")
    if stored["vocab_size"] < config.text_vocab:
        raise WeightsError(
            f"{folder}: vocab_size is {stored['vocab_size']}, below {config.text_vocab} text ids"
        )


def _drawn(name: str, shape: torch.Size, config: LlmConfig, generator: torch.Generator) -> Tensor:
    """Return initial values: 1 for norms, 0 for biases, a normal distribution for the rest."""
    drawn = torch.empty(shape, device=generator.device)
    if name.endswith(".bias"):
        return drawn.zero_()
    if len(shape) == 1:
        return drawn.fill_(1.0)
    return drawn.normal_(std=config.initializer_range, generator=generator)
