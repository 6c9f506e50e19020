"""Hyper-parameters of the two encoders, in the form of the published `config.json` files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from wavemill.model.tokenizer.pieces import PIECE_SAMPLES, TOKEN_SAMPLES

CONFIGS = Path(__file__).parent / "configs"
PRESETS = ("published", "small", "tiny")


class EncoderConfig(BaseModel):
    """A Whisper encoder. Fields that it has no use for are kept and written back."""

    model_config = ConfigDict(extra="allow", frozen=True)

    d_model: int = Field(ge=1)
    encoder_layers: int = Field(ge=1)
    encoder_attention_heads: int = Field(ge=1)
    encoder_ffn_dim: int = Field(ge=1)
    max_source_positions: int = Field(1500, ge=1)  # frames of 20 ms
    # Silence fills a waveform up to a multiple of so many tokens; None: to 30 s, as published,
    # which costs a clip of half a second sixty times its own length.
    fill_to_tokens: int | None = Field(None, ge=1)
    num_mel_bins: Literal[80, 128] = 128
    activation_function: Literal["gelu"] = "gelu"
    scale_embedding: Literal[False] = False

    def filled(self, samples: int) -> int:
        """Return how long a piece of `samples` is with the silence that fills it up."""
        step = self.fill_to_tokens
        if step is None:
            return PIECE_SAMPLES
        return min(PIECE_SAMPLES, -(-samples // (step * TOKEN_SAMPLES)) * step * TOKEN_SAMPLES)

    def published(self) -> dict[str, Any]:
        """Return the content of a `config.json`; a field of ours is in it only where it is used."""
        unused = {"fill_to_tokens"} if self.fill_to_tokens is None else None
        return {"model_type": "whisper"} | self.model_dump(exclude=unused)


class VqConfig(EncoderConfig):
    """GLM-4-Voice's Whisper encoder with pooling and a codebook (docs/published-format.md)."""

    num_mel_bins: Literal[128] = 128

    pooling_kernel_size: int = Field(4, ge=1)
    pooling_type: Literal["avg", "max"] = "avg"
    pooling_position: int = Field(ge=1)  # layers before
    quantize_vocab_size: int = Field(ge=1)
    quantize_position: int = Field(ge=1)  # layers before
    quantize_encoder_only: bool = False  # nothing follows the codebook
    quantize_causal_block_size: int | None = Field(None, ge=1)  # frames of 20 ms
    quantize_ema_decay: float | None = None  # trained by moving averages, which are stored
    quantize_causal_encoder: bool = False
    encoder_causal_attention: bool = False
    encoder_causal_convolution: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.pooling_position <= self.quantize_position <= self.encoder_layers:
            raise ValueError("pooling comes before the codebook, and both within the layers")
        return self

    @property
    def layers(self) -> int:
        """Layers that exist: without a use, those after the codebook are not stored."""
        return self.quantize_position if self.quantize_encoder_only else self.encoder_layers

    @property
    def causal(self) -> bool:
        return self.encoder_causal_attention or self.quantize_causal_encoder


def presets(name: str) -> tuple[VqConfig, EncoderConfig]:
    """Return the semantic tokenizer's and the acoustic encoder's configuration of a preset.

    Raises ValueError for a name that is not in PRESETS.
    """
    if name not in PRESETS:
        raise ValueError(f"no configuration {name!r}; there are {', '.join(PRESETS)}")
    content = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    return (
        VqConfig.model_validate(content["semantic"]),
        EncoderConfig.model_validate(content["acoustic"]),
    )
