"""Hyper-parameters of the audio LLM, in the form of the published `config.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

CONFIGS = Path(__file__).parent / "configs"
PRESETS = ("published", "small", "tiny")
# What the published checkpoints call themselves; `save_pretrained` writes the same.
PUBLISHED_CLASS = {"architectures": ["MoonshotKimiaForCausalLM"], "model_type": "qwen2"}


class LlmConfig(BaseModel):
    """The hyper-parameters of a network; aliases are the published names, and both are read.

    Missing fields take the default of the published class. Unknown fields are kept and written
    back, so that a published `config.json` survives load and save.
    """

    model_config = ConfigDict(
        extra="allow", frozen=True, validate_by_name=True, validate_by_alias=True
    )

    vocab_size: int = Field(ge=1)  # text, special and audio ids together
    hidden_size: int = Field(ge=1)
    intermediate_size: int = Field(ge=1)  # of the MLPs
    num_hidden_layers: int = Field(ge=1)  # shared and text layers together
    num_attention_heads: int = Field(ge=1)
    num_key_value_heads: int = Field(ge=1)
    hidden_act: Literal["silu"] = "silu"
    max_position_embeddings: int = Field(ge=1)  # tokens of a sequence: prompt and reply
    rms_norm_eps: float = Field(1e-6, gt=0)  # of every norm, also of the adaptor
    rope_theta: float = Field(10_000.0, gt=0)  # no scaling, whatever the file says
    initializer_range: float = Field(0.02, gt=0)
    pad_token_id: int | None = None
    tie_word_embeddings: Literal[False] = False
    # The audio branch starts from the output of this layer (counted from 0).
    branch_layer: int = Field(21, ge=0, alias="kimia_mimo_transformer_from_layer_index")
    audio_layers: int = Field(6, ge=1, alias="kimia_mimo_layers")
    audio_delay: int = Field(5, ge=0, alias="kimia_mimo_audiodelaytokens")  # steps
    text_vocab: int = Field(151_643, ge=1, alias="num_base_tokens")  # special ids start here
    audio_offset: int = Field(152_064, ge=1, alias="kimia_token_offset")  # id of audio code 0
    feature_width: int = Field(5120, ge=1, alias="kimia_adaptor_input_dim")

    @model_validator(mode="before")
    @classmethod
    def _newer_rope(cls, values: Any) -> Any:
        theta = rope_theta_of(values) if isinstance(values, dict) else None
        return values if theta is None else {**values, "rope_theta": theta}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.hidden_size % self.num_attention_heads or self.head_width % 2:
            raise ValueError("hidden_size must be an even multiple of num_attention_heads")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError("num_attention_heads must be a multiple of num_key_value_heads")
        if self.branch_layer >= self.num_hidden_layers:
            raise ValueError("branch_layer: there is no such layer")
        if not self.text_vocab <= self.audio_offset <= self.vocab_size:
            raise ValueError("text, special and audio ids must follow each other")
        return self

    @property
    def head_width(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def audio_codes(self) -> int:
        """Size of the semantic codebook."""
        return self.vocab_size - self.audio_offset

    def published(self) -> dict[str, Any]:
        """Return the content of a `config.json` with the published names."""
        return self.model_dump(by_alias=True) | PUBLISHED_CLASS


def rope_theta_of(config: dict[str, Any]) -> float | None:
    """Return `rope_theta` of a `config.json`; transformers 5 writes it into `rope_parameters`."""
    newer = config.get("rope_parameters")
    return config.get("rope_theta", newer.get("rope_theta") if isinstance(newer, dict) else None)


def preset(name: str) -> LlmConfig:
    """Return a configuration that ships with the package; raises ValueError for unknown names."""
    if name not in PRESETS:
        raise ValueError(f"no configuration {name!r}; there are {', '.join(PRESETS)}")
    return LlmConfig.model_validate(
        yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    )
