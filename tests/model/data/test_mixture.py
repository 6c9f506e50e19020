"""Data sets have epochs of their own, or shares of the positions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.model.data.made import conversation_row, write
from wavemill.model.data.source import Share
from wavemill.model.train.llm import LlmTraining
from wavemill.model.train.llm_data import LlmData
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import SftRecipe

ROWS = 30
SETS = {"a": "file:///a/*", "b": "file:///b/*"}


def data(folder: Path, **recipe: Any) -> LlmData:
    corpus = folder / "work"
    if not corpus.exists():
        sources = ["file:///a/x.wav", "file:///b/x.wav", "file:///c/x.wav"]
        rows = [conversation_row(i, source=sources[i % 3]) for i in range(ROWS)]
        write(corpus, "sft", [rows[:13], rows[13:]])
    told = {"data": {"positions": 128}, "loop": {"evaluation": {"batches": 0, "examples": 0}}}
    made = SftRecipe.model_validate(told | recipe)
    return LlmTraining(str(corpus), made, folder / "run").data_source()


def sets(field: str, **values: float) -> list[dict[str, Any]]:
    return [{"name": n, "source": SETS[n], field: value} for n, value in values.items()]


def learnt(found: LlmData) -> Counter[str]:
    """Return how often each row comes until the training ends."""
    seen: Counter[str] = Counter()
    total, units = found.of_rank(Ranks()).total_units, 0
    with found.batches(Share()) as batches:
        while units < total:
            batch = next(batches)
            units += batch.units
            seen.update(batch.ids)
    return seen


def test_each_data_set_has_its_epochs(tmp_path: Path) -> None:
    seen = learnt(data(tmp_path, epochs=2, datasets=sets("epochs", a=4, b=1)))
    by_set = [Counter(seen[f"s{i}"] for i in range(k, ROWS, 3)) for k in range(3)]
    # The first, the second, and what no data set has.
    assert [list(times) for times in by_set] == [[4], [1], [2]]


def test_weights_are_shares_of_positions(tmp_path: Path) -> None:
    found = data(tmp_path, epochs=3, datasets=sets("weight", a=3, b=1))
    assert found._mixture is not None
    positions, epochs = found._positions, found._mixture.epochs
    taken = {name: positions[name] * epochs[name] for name in ("a", "b")}
    assert taken["a"] == pytest.approx(3 * taken["b"])
    assert sum(taken.values()) == pytest.approx(3 * (positions["a"] + positions["b"]))
    seen = learnt(found)
    rows = [sum(seen[f"s{i}"] for i in range(k, ROWS, 3)) for k in range(3)]
    assert rows[2] == 0
    assert rows[0] == pytest.approx(10 * epochs["a"], abs=3)
    assert rows[1] == pytest.approx(10 * epochs["b"], abs=3)


def test_no_data_sets_are_as_before(tmp_path: Path) -> None:
    found = data(tmp_path, epochs=2)
    assert "datasets" not in found.recipe.identity()
    assert set(learnt(found).values()) == {2}


@pytest.mark.parametrize(
    "wrong",
    [
        [{"name": "a"}],
        [{"name": "a", "epochs": 1, "weight": 1}],
        [{"name": "a", "epochs": 1}, {"name": "b", "weight": 1}],
        [{"name": "a", "epochs": 1}, {"name": "a", "epochs": 2}],
    ],
)
def test_what_makes_no_sense_is_refused(wrong: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError, match="data set"):
        SftRecipe.model_validate({"datasets": wrong})
