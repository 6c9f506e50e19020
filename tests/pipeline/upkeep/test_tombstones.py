"""Tombstones that disappear or rot are noticed before what they keep out comes back."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipeline.toys import recording
from tests.pipeline.upkeep.workdir import Workdir, expected_rows
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.snapshots import latest_snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.tombstones import SCHEMA, WITHDRAWN, read_tombstones
from wavemill.pipeline.upkeep.withdrawal import add_tombstones, reinstate, withdrawn_table

FOUR = [recording(f"r{i}") for i in range(4)]
FIRST, SECOND = FOUR[2].recording_id, FOUR[0].recording_id


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    made = Workdir(tmp_path)
    made.run(FOUR, 20)
    made.withdraw([FIRST], 20)
    made.withdraw([SECOND], 20)
    assert made.verify() == []
    return made


def lose(store: Store) -> None:
    store.delete(WITHDRAWN)


def lose_one(store: Store) -> None:
    store.write_table(WITHDRAWN, read_tombstones(store).slice(1))


def say_something_else(store: Store) -> None:
    rows = read_tombstones(store).to_pylist()
    rows[1]["lifted_ms"] = 1
    marks = pq.read_schema(store.path(WITHDRAWN)).metadata
    table = pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata(marks))
    store.write_table(WITHDRAWN, table)


def truncate(store: Store) -> None:
    store.path(WITHDRAWN).write_bytes(store.path(WITHDRAWN).read_bytes()[:-9])


@pytest.mark.parametrize("damage", [lose, lose_one, say_something_else, truncate])
def test_it_is_noticed_and_nothing_comes_back_unasked(workdir: Workdir, damage) -> None:  # type: ignore[no-untyped-def]
    damage(workdir.store)
    assert WITHDRAWN in workdir.verify()
    with pytest.raises(ConfigError, match=r"verify .* --repair"):
        workdir.run(FOUR, 20)
    with pytest.raises(ConfigError, match="restore it from a backup"):
        workdir.withdraw([FOUR[1].recording_id], 20)
    workdir.repair()
    assert workdir.verify() == []
    workdir.run(FOUR, 20)


def test_a_flipped_bit_is_noticed_or_changes_nothing(workdir: Workdir) -> None:
    path = workdir.store.path(WITHDRAWN)
    whole, content = path.read_bytes(), read_tombstones(workdir.store)
    noticed = 0
    for at in range(0, len(whole), 17):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        try:
            assert read_tombstones(workdir.store).equals(content)
        except ConfigError:
            noticed += 1
    assert noticed > 10


def test_a_backup_makes_it_whole(workdir: Workdir) -> None:
    backup = workdir.store.path(WITHDRAWN).read_bytes()
    lose(workdir.store)
    workdir.store.path(WITHDRAWN).write_bytes(backup)
    assert workdir.verify() == []
    assert not workdir.run(FOUR, 20)
    assert workdir.rows() == expected_rows([FOUR[1], FOUR[3]], 20)


def test_lifting_and_adding_is_no_damage(workdir: Workdir) -> None:
    reinstate(workdir.store, [FIRST], 5)
    add_tombstones(workdir.store, {FOUR[1].recording_id: ["r1"]}, "they asked", 6)
    assert workdir.verify() == []
    left = withdrawn_table(workdir.store)["recording_id"].to_pylist()
    assert left == [SECOND, FOUR[1].recording_id]
    add_tombstones(workdir.store, {FIRST: ["r2"]}, "again", 7)
    assert workdir.verify() == []


def test_one_of_a_recording_that_had_left_before_is_remembered_too(workdir: Workdir) -> None:
    before = workdir.number()
    workdir.run([FOUR[1]], 20)
    workdir.withdraw([FOUR[3].recording_id], 20)
    snapshot = latest_snapshot(workdir.store)
    assert snapshot is not None
    assert (snapshot.number, snapshot.tombstones) == (before + 2, 3)


def test_tombstones_of_earlier_versions_are_read(tmp_path: Path) -> None:
    workdir = Workdir(tmp_path)
    workdir.run(FOUR, 20)
    old = pa.table({"recording_id": [FIRST], "reason": ["consent"], "withdrawn_ms": [5]})
    workdir.store.write_table(WITHDRAWN, old)
    (row,) = withdrawn_table(workdir.store).to_pylist()
    assert (row["reason"], row["purge"], row["asked"]) == ("consent", False, [])
    workdir.run(FOUR, 20)
    assert workdir.rows() == expected_rows([FOUR[0], FOUR[1], FOUR[3]], 20)
    assert workdir.verify() == []
