"""A recipe: the prompts of a model for each kind of task, and how its answers are decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem
from wavemill.model.evaluate.benchmarks.schema import Benchmark

FOLDER = Path(__file__).parent


class RecipeError(ValueError):
    """There is no such recipe, or its file is invalid, or a model cannot follow it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Decoding(_Strict):
    """How tokens are drawn. None: the model's own default."""

    max_new_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(0.0, ge=0)  # 0: always the best token
    top_k: int | None = Field(None, ge=0)
    top_p: float | None = Field(None, gt=0, le=1)
    repetition_penalty: float = Field(1.0, ge=0)
    repetition_window: int | None = Field(None, ge=1)
    # Of the audio stream, where a model speaks.
    audio_temperature: float = Field(0.8, ge=0)
    audio_top_k: int = Field(10, ge=0)


class Recipe(_Strict):
    """How a model is asked. The prompt is that of the first key which `prompts` has:

    the benchmark's name; `asks/language` (transcript/zh); `asks` (transcript, text, speech).
    Without one, it is the benchmark's own prompt; in the others {prompt} stands for it.
    """

    name: str
    about: str = ""
    decoding: Decoding = Decoding()
    system: dict[str, str] = {}  # keys as of prompts, or `any`
    prompts: dict[str, str] = {}
    text_first: bool = True  # the prompt before the recording
    as_is: bool = False  # no chat template around the prompt
    # Recordings of other lengths are not sent, and count as failed.
    shortest_s: float = Field(0.0, ge=0)
    longest_s: float | None = Field(None, gt=0)
    sources: str = ""  # where the values come from


@dataclass(frozen=True)
class Prompt:
    """The text that a model gets for one item, beside its audio."""

    text: str
    system: str | None


def prompt_for(recipe: Recipe, benchmark: Benchmark, item: BenchmarkItem) -> Prompt:
    """Return the prompt for an item. Fields of the item are inserted as they are."""
    keys = (benchmark.name, f"{benchmark.asks}/{item.language}", benchmark.asks)
    template = next((recipe.prompts[key] for key in keys if key in recipe.prompts), None)
    own = _filled(benchmark.prompt, _values(benchmark, item))
    system = next((recipe.system[key] for key in (*keys, "any") if key in recipe.system), None)
    return Prompt(own if template is None else _filled(template, {"prompt": own}), system)


def _values(benchmark: Benchmark, item: BenchmarkItem) -> dict[str, str]:
    options = item.options or benchmark.options
    return {
        "question": item.question or "",
        "options": " ".join(
            f"({letter}) {option}" for letter, option in zip(ascii_uppercase, options, strict=False)
        ),
        "labels": ", ".join(options),
    }


def _filled(template: str, values: dict[str, str]) -> str:
    """Replace each {name} by its value; names inside a value are not replaced."""
    parts, rest = [], template
    while rest:
        places = [(rest.find(f"{{{name}}}"), name) for name in values]
        found = min(((at, name) for at, name in places if at >= 0), default=None)
        if found is None:
            break
        at, name = found
        parts += [rest[:at], values[name]]
        rest = rest[at + len(name) + 2 :]
    return "".join([*parts, rest])


def recipe_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(name: str | Path) -> Recipe:
    """Return a recipe by its name, or from a YAML file. Raises RecipeError."""
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        path = Path(name)
    if not path.is_file():
        raise RecipeError(
            f"there is no recipe {str(name)!r}; there are {', '.join(recipe_names())}, "
            "or give the path of a YAML file"
        )
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RecipeError(f"{path}: {where}: {first['msg']}") from None
