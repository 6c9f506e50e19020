"""What a detokenizer is (the two networks) and how it streams."""

from __future__ import annotations

from importlib.resources import files
from math import prod
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

PRESETS = ("tiny", "small", "published")


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RopeSettings(_Frozen):
    """Rotary position embedding of the flow network."""

    max_position_embeddings: int = Field(4096, ge=1)  # frames seen in training
    rope_base: float = Field(10_000.0, gt=1)
    rope_interpolation_factor: float = Field(1.0, gt=0)  # positions are divided by it


class FlowConfig(_Frozen):
    """The flow-matching network; field names are those of `audio_detokenizer/config.yaml`."""

    input_size: int = Field(80, ge=1)  # mel bands
    semantic_vocab_size: int = Field(16_384, ge=1)  # the token table has one spare row more
    hidden_size: int = Field(2304, ge=2)
    depth: int = Field(16, ge=1)  # blocks
    num_heads: int = Field(18, ge=1)
    mlp_ratio: float = Field(4.0, gt=0)
    ffn_type: Literal["vanilla_mlp"] = "vanilla_mlp"
    use_rope: bool = True
    rope_params: RopeSettings = RopeSettings()
    position_embedding_type: Literal["skip", "sincos", "learnable"] = "skip"  # added to the input
    max_seq_len: int = Field(4096, ge=1)  # frames; rows of the learnable position table
    normalize_mel: bool = True
    mel_mean: float = -4.479605  # of log-mel values, over all bands
    mel_std: float = Field(3.4584913, gt=0)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.hidden_size % (2 * self.num_heads):
            raise ValueError("hidden_size must be an even multiple of num_heads")
        return self

    @property
    def head_size(self) -> int:
        """Numbers per attention head."""
        return self.hidden_size // self.num_heads

    @property
    def max_positions(self) -> int:
        """Frames that the network was trained to tell apart."""
        return min(self.max_seq_len, self.rope_params.max_position_embeddings)


class VocoderConfig(_Frozen):
    """BigVGAN and its mel spectrogram; field names are those of `vocoder/config.json`."""

    resblock: Literal["1"] = "1"  # type "2" cannot run in the published code
    num_mels: int = Field(80, ge=1)
    upsample_rates: tuple[int, ...] = (5, 2, 2, 2, 2, 3, 2)
    upsample_kernel_sizes: tuple[int, ...] = (9, 4, 4, 4, 4, 5, 4)
    upsample_initial_channel: int = Field(2048, ge=1)  # halved by every upsampling
    resblock_kernel_sizes: tuple[int, ...] = (3, 5, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5),) * 4
    activation: Literal["snake", "snakebeta"] = "snakebeta"
    snake_logscale: bool = True
    use_tanh_at_final: bool = True  # false: clamp to [-1, 1]
    use_bias_at_final: bool = True
    n_fft: int = Field(1024, ge=2)  # samples
    hop_size: int = Field(480, ge=1)  # samples per frame
    win_size: int | None = Field(None, ge=1)  # samples; None: n_fft
    sampling_rate: int = Field(24_000, ge=1)  # Hz
    fmin: float = Field(0.0, ge=0)  # Hz
    fmax: float | None = None  # Hz; None: half the sampling rate

    @model_validator(mode="after")
    def _lists_fit(self) -> Self:
        if len(self.upsample_rates) != len(self.upsample_kernel_sizes):
            raise ValueError("upsample_rates and upsample_kernel_sizes differ in length")
        if any(
            (k - r) % 2
            for r, k in zip(self.upsample_rates, self.upsample_kernel_sizes, strict=True)
        ):
            raise ValueError("each upsample kernel must be its rate plus an even number")
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes):
            raise ValueError("resblock_kernel_sizes and resblock_dilation_sizes differ in length")
        if self.upsample_initial_channel % (1 << len(self.upsample_rates)):
            raise ValueError("upsample_initial_channel cannot be halved by every upsampling")
        return self

    @property
    def samples_per_frame(self) -> int:
        """Samples that the vocoder makes of a frame."""
        return prod(self.upsample_rates)


class DetokenizerConfig(_Frozen):
    """Both networks."""

    flow: FlowConfig = FlowConfig()
    vocoder: VocoderConfig = VocoderConfig()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.flow.input_size != self.vocoder.num_mels:
            raise ValueError("the flow network and the vocoder differ in mel bands")
        if self.vocoder.hop_size != self.vocoder.samples_per_frame:
            raise ValueError("hop_size must be the product of upsample_rates")
        return self

    @classmethod
    def preset(cls, name: str) -> DetokenizerConfig:
        """Return `tiny`, `small` or `published` from `configs/`; raises ValueError."""
        if name not in PRESETS:
            raise ValueError(f"no configuration {name!r}; there are {', '.join(PRESETS)}")
        text = files(__package__).joinpath("configs", f"{name}.yaml").read_text(encoding="utf-8")
        return cls.model_validate(yaml.safe_load(text))


class StreamSettings(_Frozen):
    """How tokens become audio piece by piece; the numbers are those of the published loader."""

    frames_per_token: int = Field(4, ge=1)
    chunk_tokens: int = Field(30, ge=1)
    look_ahead_tokens: int = Field(12, ge=0)  # solved to prepare a chunk's end, then solved again
    cache_frames: int = Field(900, ge=1)  # earlier frames that a chunk sees, the voice included
    ode_points: int = Field(30, ge=2)  # of the time grid
    voice_chunk_frames: int = Field(120, ge=1)  # a voice is read in pieces of this length
    voice_chunks: int = Field(10, ge=1)  # at most; the first piece takes what is older
    vocoder_context: int = Field(24, ge=0)  # frames on each side of what is emitted
    vocoder_window: int = Field(500, ge=1)  # frames decoded at once, at most

    @model_validator(mode="after")
    def _chunk_outlasts_look_ahead(self) -> Self:
        if self.look_ahead_tokens >= self.chunk_tokens:
            raise ValueError("look_ahead_tokens must be smaller than chunk_tokens")
        return self
