"""What a decoded recording may lack, and which claims of a file are believed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DecodeLimits(BaseModel):
    """When a recording counts as damaged, silent or impossible."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    missing_ms: int = Field(100, ge=0)  # more missing at the end: truncated (encoders pad)
    jitter_ms: int = Field(50, ge=0)  # times of a container that differ by less are only rounded
    gap_ms: int = Field(60_000, ge=0)  # a longer hole in the times is closed, not filled
    tail_ms: int = Field(5000, ge=0)  # room for more sound in strange bytes at the end: damage
    max_damage_ratio: float = Field(0.5, ge=0, le=1)  # more of it damaged: no part is used
    silence_dbfs: float = Field(-80.0, le=0)  # a recording whose peak is below is silent
    min_source_rate: int = Field(1000, ge=1)  # Hz; a lower one is no sound but a broken header
    max_source_rate: int = Field(3_072_000, ge=1)  # Hz; DSD512 is decoded at 2,822,400
    max_source_channels: int = Field(64, ge=1)
    min_bit_rate: int = Field(100, ge=0)  # bits/s; silence as FLAC has 200, no sound has less


DEFAULT_LIMITS = DecodeLimits()
