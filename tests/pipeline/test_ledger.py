"""The ledger of finished outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wavemill.pipeline import ledger as module
from wavemill.pipeline.ledger import Ledger
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import TaskResult


def result(name: str, rows: int = 3) -> TaskResult:
    stem = f"stages/draw/0123456789abcdef/{name}"
    return TaskResult("draw", name, stem, stem, rows, 0, 60_000, 1.0, 0.5, None, 10, "ab", None)


def test_what_is_added_is_there_for_the_next_run(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    first = Ledger(store)
    first.add(result("a"), gpus=0.5)
    first.flush()
    (row,) = Ledger(store).rows().to_pylist()
    assert (row["stage"], row["fingerprint"], row["gpus"]) == ("draw", "0123456789abcdef", 0.5)
    assert row["rows"] == 3


def test_the_last_row_of_an_output_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(Store.open(tmp_path))
    for milliseconds, rows in ((1, 3), (2, 5)):
        monkeypatch.setattr(module.time, "time_ns", lambda at=milliseconds: at * 1_000_000)
        ledger.add(result("a", rows))
        ledger.flush()
    assert ledger.rows()["rows"].to_pylist() == [5]


def test_only_the_rows_asked_for(tmp_path: Path) -> None:
    ledger = Ledger(Store.open(tmp_path))
    for name in "abc":
        ledger.add(result(name))
    found = ledger.rows([result("b").output])
    assert found["shard_id"].to_pylist() == ["b"]


def test_many_files_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 3)
    store = Store.open(tmp_path)
    ledger = Ledger(store)
    for name in "abcd":
        ledger.add(replace(result(name), seconds=0.1))
        ledger.flush()
    ledger.compact()
    assert len(store.names(module.FOLDER)) == 1
    assert sorted(ledger.rows()["shard_id"].to_pylist()) == list("abcd")
    ledger.add(result("e"))
    ledger.flush()
    assert len(store.names(module.FOLDER)) == 2
