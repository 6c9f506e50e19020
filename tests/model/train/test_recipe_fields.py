"""Every field of a recipe is read by somebody: one that nothing reads must not be accepted."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel, ValidationError

import wavemill.model
from wavemill.model.detokenizer.config import DetokenizerConfig
from wavemill.model.detokenizer.flow import FlowNetwork
from wavemill.model.train.recipe import PretrainRecipe, SftRecipe, shipped
from wavemill.model.train.speech.recipe import DetokenizerRecipe, TokenizerRecipe

RECIPES: dict[str, type[BaseModel]] = {
    "pretrain": PretrainRecipe,
    "sft": SftRecipe,
    "tokenizer": TokenizerRecipe,
    "detokenizer": DetokenizerRecipe,
}


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the settings that an annotation names, those inside unions included."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from models_in(part)


def fields_of(settings: type[BaseModel]) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        yield f"{settings.__name__}.{name}"
        for inner in models_in(field.annotation):
            yield from fields_of(inner)


def test_code_reads_every_field() -> None:
    folder = Path(next(iter(wavemill.model.__path__)))
    read = {
        node.attr
        for file in folder.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    read |= {"chunks", "speaker", "vocoder"}  # stages, which are read by their names
    fields = {field for recipe in RECIPES.values() for field in fields_of(recipe)}
    assert len(fields) > 80
    assert not sorted(field for field in fields if field.split(".")[1] not in read)


@pytest.mark.parametrize("name", ["tokenizer", "detokenizer"])
def test_recompute_is_refused_where_nothing_reads_it(name: str) -> None:
    loop = {"loop": {"recompute": True}}
    given = loop if name == "tokenizer" else {"vocoder": loop}
    with pytest.raises(ValidationError, match=r"loop\.recompute: this network keeps"):
        RECIPES[name].model_validate(given)


@pytest.mark.parametrize("training", RECIPES)
@pytest.mark.parametrize("preset", ["tiny", "small", "paper"])
def test_recipes_that_ship_are_accepted(training: str, preset: str) -> None:
    RECIPES[training].model_validate(shipped(training, preset))


def test_a_flow_network_that_recomputes_keeps_less_and_learns_the_same() -> None:
    gradients, kept = [], []
    for recompute in (False, True):
        torch.manual_seed(0)
        network = FlowNetwork(DetokenizerConfig.preset("tiny").flow)
        torch.nn.init.normal_(network.final_layer.linear.weight)
        network.recompute = recompute
        bytes_kept = 0

        def note(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal bytes_kept
            bytes_kept += tensor.nbytes
            return tensor

        ids = torch.arange(12)[None]
        x = torch.randn(1, 12, network.config.input_size)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            found, _ = network(x, ids % 5, torch.tensor([500]), ids)
        kept.append(bytes_kept)
        found.square().sum().backward()
        gradients.append(network.get_parameter("blocks.0.mlp.fc1.weight").grad)
    torch.testing.assert_close(*gradients)
    assert kept[1] < kept[0] / 3
