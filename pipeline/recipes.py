"""Recipes of trainings: those that ship, a person's own over them, and single values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from wavemill.pipeline.config import ConfigError, config_over, read_yaml

if TYPE_CHECKING:
    from wavemill.model.train.recipe import PretrainRecipe, SftRecipe

M = TypeVar("M", bound=BaseModel)
PRESETS = ("tiny", "small", "paper")
TRAININGS = ("pretrain", "sft", "tokenizer", "detokenizer")


def recipe_of(
    model: type[M],
    shipped: Mapping[str, Mapping[str, Any]],
    name: str,
    overrides: Sequence[str] | None,
) -> M:
    """Return a recipe: one of the `shipped`, or a YAML file over one, with overrides on top.

    Raises ConfigError.
    """
    given: dict[str, Any] = {}
    if name not in shipped:
        if not Path(name).is_file():
            raise ConfigError(
                f"--config: there is no recipe {name!r}; there are {', '.join(shipped)}, "
                "or give the path of a YAML file"
            )
        given = read_yaml(Path(name))
        name = given.pop("base", "tiny")
        if name not in shipped:
            raise ConfigError(f"base: there is no recipe {name!r}; there are {', '.join(shipped)}")
    return config_over(model, shipped[name], given, overrides or [])


def recipe_for(training: str, name: str = "tiny", overrides: Sequence[str] | None = None) -> Any:
    """Return the recipe of a training (one of TRAININGS); see `recipe_of`. Raises ConfigError."""
    from wavemill.model.train.recipe import PretrainRecipe, SftRecipe, shipped
    from wavemill.model.train.speech.recipe import DetokenizerRecipe, TokenizerRecipe

    models: dict[str, type[BaseModel]] = {
        "pretrain": PretrainRecipe,
        "sft": SftRecipe,
        "tokenizer": TokenizerRecipe,
        "detokenizer": DetokenizerRecipe,
    }
    if training not in models:
        raise ConfigError(f"there is no training {training!r}; there are {', '.join(models)}")
    recipes = {preset: shipped(training, preset) for preset in PRESETS}
    return recipe_of(models[training], recipes, name, overrides)


def llm_recipe(
    training: str, name: str = "tiny", overrides: Sequence[str] | None = None
) -> PretrainRecipe | SftRecipe:
    """Return the recipe of pre-training or fine-tuning. Raises ConfigError."""
    from wavemill.model.train.recipe import PretrainRecipe, SftRecipe

    recipe = recipe_for(training, name, overrides)
    if not isinstance(recipe, PretrainRecipe | SftRecipe):
        raise ConfigError(f"{training!r} is not a training of the LLM; pretrain and sft are")
    return recipe
