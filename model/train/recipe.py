"""Recipes of LLM trainings; those that ship are YAML files in `recipes`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from wavemill.model.data.augment import AugmentSettings
from wavemill.model.data.documents import WEIGHTS, Task
from wavemill.model.train.settings import Settings, TrainingRecipe

RECIPES = Path(__file__).parent / "recipes"
PRESETS = ("tiny", "small", "paper")


class NetworkSettings(Settings):
    """What is built where nothing is given to begin with (--init)."""

    preset: Literal["tiny", "small", "published"] = "tiny"
    llm: dict[str, Any] = Field(default_factory=dict)  # fields that differ from the preset
    acoustic: dict[str, Any] = Field(default_factory=dict)  # likewise, of the acoustic encoder


class DataSettings(Settings):
    """How the corpus becomes micro-batches."""

    positions: int = Field(2048, ge=16)  # of a micro-batch, and so of the longest sequence
    # Into how many parts the files are divided, whose micro-batches take turns. Ranks read least
    # when it is a multiple of the number of workers; it must not change while a training runs.
    streams: int = Field(1, ge=1)
    window_mb: float = Field(64.0, gt=0)  # of stored audio and text that are shuffled together
    held_out_split: str = "validation"  # evaluated, never learnt


class LlmRecipe(TrainingRecipe):
    """Pre-training or fine-tuning of the audio LLM."""

    network: NetworkSettings = NetworkSettings()
    data: DataSettings = DataSettings()
    tokens: int | None = Field(None, ge=1)  # positions to learn; null: `epochs` of the corpus
    epochs: float = Field(1.0, gt=0)
    frozen_acoustic: float = Field(0.0, ge=0, le=1)  # share of the training that it stays as it is


class PretrainRecipe(LlmRecipe):
    """Report section 4.1."""

    weights: dict[Task, float] = Field(default_factory=lambda: dict(WEIGHTS))  # shares of tokens


class SftRecipe(LlmRecipe):
    """Report section 4.2."""

    augment: AugmentSettings | None = None


def shipped(training: str, name: str) -> dict[str, Any]:
    """Return the content of a recipe that ships; raises ValueError for another name."""
    path = RECIPES / training / f"{name}.yaml"
    if name not in PRESETS or not path.is_file():
        raise ValueError(f"no recipe {name!r}; there are {', '.join(PRESETS)}")
    return yaml.safe_load(path.read_text()) or {}
