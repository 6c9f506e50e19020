"""Answers from workers on Ray, of which one is lost on the way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem
from wavemill.model.evaluate.models.answering import ModelError
from wavemill.model.evaluate.runs.answers import Row
from wavemill.pipeline.evaluation_workers import ray_answerer


def asking(marks: Path) -> Callable[[], Callable[[list[BenchmarkItem]], list[Row]]]:
    """Return what makes an answering function, which dies once and fails for good."""

    def make() -> Callable[[list[BenchmarkItem]], list[Row]]:
        def ask(items: list[BenchmarkItem]) -> list[Row]:
            names = [item.item_id for item in items]
            if "deadly" in names:
                os._exit(1)
            if "once" in names and not (marks / "died").exists():
                (marks / "died").touch()
                os._exit(1)
            if "wrong" in names:
                raise ModelError("no such key")
            return [Row(name, answer=f"{os.getpid()}") for name in names]

        return ask

    return make


def test_lost_workers_are_replaced_and_their_items_asked_again(tmp_path: Path) -> None:
    names = [["a"], ["once", "b"], ["c"], ["deadly"], ["d", "e"]]
    batches = [[BenchmarkItem(name) for name in some] for some in names]
    rows = [row for some in ray_answerer(asking(tmp_path), 2)(batches) for row in some]
    found = {row.item_id: row for row in rows}
    assert sorted(found) == sorted(name for some in names for name in some)
    assert len(rows) == len(found)
    assert {i for i, row in found.items() if row.answer is None} == {"deadly"}
    assert "3 workers were lost with it" in (found["deadly"].error or "")
    assert str(os.getpid()) not in {row.answer for row in rows}
    with pytest.raises(ModelError, match="no such key"):
        list(ray_answerer(asking(tmp_path), 1)([[BenchmarkItem("wrong")]]))
