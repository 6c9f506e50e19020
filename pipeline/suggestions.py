"""Which field a person may have meant by a name that is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

SHOWN = 3  # names in a suggestion
CLOSE = 0.75  # least similarity of a name that is suggested, as difflib measures it


def suggestion(model: type[BaseModel], place: Sequence[str | int]) -> str:
    """Return "; did you mean ...?" for the unknown field at `place`, or nothing to add.

    Names beside it come first, then names anywhere in `model`, as `--set` takes them.
    """
    *above, name = [str(part) for part in place]
    beside = {field for one in _models_at([model], above) for field in one.model_fields}
    close = get_close_matches(name, sorted(beside), SHOWN, CLOSE)
    found = [".".join([*above, one]) for one in close]
    if not found:
        everywhere: dict[str, list[str]] = {}
        for path in field_names(model):
            everywhere.setdefault(path.rsplit(".", 1)[-1], []).append(path)
        close = get_close_matches(name, sorted(everywhere), SHOWN, CLOSE)
        found = [path for one in close for path in everywhere[one]][:SHOWN]
    return f"; did you mean {' or '.join(found)}?" if found else ""


def field_names(model: type[BaseModel]) -> Iterator[str]:
    """Yield the dotted names of all fields of `model` and of the models in it."""
    for name, field in model.model_fields.items():
        yield name
        for inner in _models_in(field.annotation):
            yield from (f"{name}.{rest}" for rest in field_names(inner))


def _models_at(models: list[type[BaseModel]], place: Sequence[str]) -> list[type[BaseModel]]:
    for part in place:
        fields = [one.model_fields[part] for one in models if part in one.model_fields]
        # A part that names no field is the tag of a union or a place in a list.
        if fields:
            models = [inner for field in fields for inner in _models_in(field.annotation)]
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
