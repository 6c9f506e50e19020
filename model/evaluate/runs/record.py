"""The record of a run, `run.json`: from it the run can be repeated and compared with others."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from wavemill.model.evaluate.benchmarks.schema import Benchmark
from wavemill.model.evaluate.recipes.recipe import Recipe

RECORD_FILE = "run.json"


class RunError(ValueError):
    """A folder holds another run, or one that cannot be read; says how they differ."""


class Record(BaseModel):
    """Everything that determines the answers, and when the run began."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str  # the column of the leaderboard
    benchmark: Benchmark
    items: int
    items_sha256: str
    limit: int | None = None  # only the first so many items
    learnt: int | None = None  # items of recordings that the model learnt from; None: unknown
    model: dict[str, str]
    recipe: Recipe
    seed: int
    versions: dict[str, str]
    created: str  # ISO 8601, UTC

    def identity(self) -> dict[str, Any]:
        """Return the fields that must stay the same when a run is resumed; versions may differ."""
        wanted = {"benchmark", "items_sha256", "model", "recipe", "seed"}
        values = self.model_dump(mode="json", include=wanted)
        values["model"].pop("url", None)  # a server may move
        for name in ("published", "notes", "data"):  # say nothing of how it is run
            values["benchmark"].pop(name, None)
        return values


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_record(folder: Path) -> Record | None:
    """Return the record of a run's folder, or None; raises RunError if it cannot be read."""
    path = folder / RECORD_FILE
    try:
        return Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        why = str(error).splitlines()[0]
        raise RunError(f"cannot read {path}: {why}; remove {folder}, or name another") from None


def begin(folder: Path, record: Record) -> Record:
    """Start a run in its folder, or resume the one that is there.

    Raises RunError if that is another run, and names the first field in which they differ.
    """
    there = read_record(folder)
    if there is None:
        write_json(folder / RECORD_FILE, record.model_dump(mode="json"))
        return record
    for name, value in record.identity().items():
        if (old := there.identity()[name]) != value:
            raise RunError(
                f"{folder} holds answers of another run: its {_difference(name, old, value)}; "
                "choose another --label or --out, or remove that folder"
            )
    if there.limit == record.limit:
        return there
    there = there.model_copy(update={"limit": record.limit})
    write_json(folder / RECORD_FILE, there.model_dump(mode="json"))
    return there


def _difference(name: str, old: Any, new: Any) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        key = next(key for key in {**old, **new} if old.get(key) != new.get(key))
        return _difference(f"{name}.{key}", old.get(key), new.get(key))
    return f"{name} is {_short(old)}, not {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def write_json(path: Path, values: Any) -> None:
    """Write a JSON file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(values, ensure_ascii=False, indent=1), encoding="utf-8")
    temporary.replace(path)
