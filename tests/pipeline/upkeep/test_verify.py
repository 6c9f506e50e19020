"""`wavemill verify` names what is damaged; `--repair` has exactly that made again."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.pipeline.toys import recording
from tests.pipeline.upkeep.workdir import Workdir, expected_rows
from wavemill.pipeline.ledger import Ledger
from wavemill.pipeline.snapshots import LATEST, latest_snapshot
from wavemill.pipeline.upkeep.findings import Kind
from wavemill.pipeline.upkeep.repair import LOST
from wavemill.pipeline.upkeep.verify import inspect

SIX = [recording(f"r{i}") for i in range(6)]  # two of a shard
ALL = [*SIX, recording("bad one")]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    """Two snapshots, the second with more kept."""
    made = Workdir(tmp_path_factory.mktemp("built"))
    made.run(ALL, 100)
    made.run(ALL, 20)
    return made


@pytest.fixture
def workdir(built: Workdir, tmp_path: Path) -> Workdir:
    return built.copy(tmp_path)


def one(workdir: Workdir, stage: str) -> Path:
    keys = [key for key in workdir.files(f"stages/{stage}") if not key.endswith("errors.parquet")]
    return workdir.store.path(keys[0])


def shard_of(path: Path) -> str:
    return path.name.split(".")[0].split("-")[0]


def test_a_sound_workdir_is_sound(workdir: Workdir) -> None:
    found = inspect(workdir.store)
    assert found.damages == []
    assert found.files > 20


def test_progress_comes_to_its_end(workdir: Workdir) -> None:
    told: list[tuple[int, int]] = []
    inspect(workdir.store, lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] > 0
    assert told == sorted(told)


@pytest.mark.parametrize(
    ("stage", "harm"),
    [("draw", "swap"), ("verdict", "flip"), ("weigh", "remove"), ("weigh", "cut")]
    + [("gather", harm) for harm in ("flip", "cut", "remove", "swap")],
)
def test_a_damaged_output_is_named_and_made_again(workdir: Workdir, stage: str, harm: str) -> None:
    path = one(workdir, stage)
    _do(harm, path)
    assert str(path.relative_to(workdir.store.root)) in workdir.verify()
    found = workdir.repair()
    assert {d.kind for d in found.damages} <= {Kind.OUTPUT, Kind.PART}
    workdir.run(ALL, 20)
    assert workdir.rows() == expected_rows(SIX, 20)
    assert workdir.number() == 2
    workdir.gc(1)  # what only the older snapshot's configuration had is not made again
    assert workdir.verify() == []
    assert not workdir.run(ALL, 20)
    assert not workdir.store.exists(LOST)


def _do(harm: str, path: Path) -> None:
    if harm == "flip":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)  # the same file: its links are damaged with it
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif harm == "remove":
        path.unlink()
    else:
        other = next(p for p in path.parent.iterdir() if p != path and "errors" not in p.name)
        path.write_bytes(other.read_bytes())


def test_only_what_was_made_from_it_is_made_again(workdir: Workdir) -> None:
    workdir.gc(1)
    path = one(workdir, "verdict")
    before = {key: workdir.store.path(key).stat().st_mtime_ns for key in workdir.files("stages")}
    _do("flip", path)
    workdir.repair()
    calls = workdir.run(ALL, 20)
    assert calls["draw"] == calls["weigh"] == 0
    after = {key: workdir.store.path(key).stat().st_mtime_ns for key in workdir.files("stages")}
    changed = [key for key in before if before[key] != after.get(key)]
    assert {Path(key).parts[1] for key in changed} == {"verdict", "gather"}
    assert {shard_of(Path(key)) for key in changed} == {shard_of(path)}


def test_of_a_selected_stage_all_outputs_of_the_stem_go(workdir: Workdir) -> None:
    path = one(workdir, "weigh")
    of_shard = [key for key in workdir.files("stages/weigh") if shard_of(path) in key]
    assert len(of_shard) == 2
    _do("flip", path)
    workdir.repair()
    assert not any(workdir.store.exists(key) for key in of_shard)


def test_a_damaged_errors_table_is_named(workdir: Workdir) -> None:
    (path,) = workdir.store.path("stages").rglob("*.errors.parquet")
    path.unlink()
    assert str(path.relative_to(workdir.store.root)) in workdir.verify()
    workdir.repair()
    workdir.run(ALL, 20)
    errors = pq.read_table(workdir.store.path("corpus/errors.parquet"))["stage"].to_pylist()
    assert errors == ["draw", "manifest"]


def test_a_part_that_was_lost_is_linked_again(workdir: Workdir) -> None:
    part, *_ = workdir.store.path("snapshots/000001/gather").iterdir()
    part.unlink()
    assert workdir.verify() == [str(part.relative_to(workdir.store.root))]
    workdir.repair()
    assert workdir.verify() == []
    assert workdir.rows("snapshots/000001") == expected_rows(SIX, 100)


def test_older_snapshots_get_their_parts_back_too(workdir: Workdir) -> None:
    """Once their configuration is built again."""
    for path in workdir.store.path("stages/gather").rglob("*.parquet"):
        _do("flip", path)
    workdir.repair()
    workdir.run(ALL, 20)
    assert {key.split("/")[1] for key in workdir.verify()} == {"gather"}
    workdir.run(ALL, 100)
    assert workdir.rows("snapshots/000001") == expected_rows(SIX, 100)
    assert workdir.rows("snapshots/000002") == expected_rows(SIX, 20)
    assert workdir.verify() == []


def test_a_lost_ledger_is_rebuilt_from_the_files(workdir: Workdir) -> None:
    before = Ledger(workdir.store).rows().sort_by("output").to_pylist()
    workdir.store.delete_folder("manifest/ledger")
    assert workdir.verify()
    workdir.repair()
    assert workdir.verify() == []
    after = Ledger(workdir.store).rows().sort_by("output").to_pylist()
    for row in (*before, *after):
        del row["finished_ms"]
    assert after == before
    assert not workdir.run(ALL, 20)


def test_a_damaged_ledger_is_rebuilt_but_for_a_damaged_file(workdir: Workdir) -> None:
    segment, *_ = workdir.store.path("manifest/ledger").iterdir()
    segment.write_bytes(segment.read_bytes()[:-30])
    path = one(workdir, "weigh")
    _do("cut", path)
    assert any(key.startswith("manifest/ledger") for key in workdir.verify())
    workdir.repair()
    workdir.run(ALL, 20)
    assert workdir.rows() == expected_rows(SIX, 20)
    workdir.gc(1)
    assert workdir.verify() == []


@pytest.mark.parametrize(
    "name", ["recordings.parquet", "errors.parquet", "lineage.parquet", "config.json"]
)
def test_a_snapshot_with_a_damaged_table_is_made_again(workdir: Workdir, name: str) -> None:
    path = workdir.store.path(f"snapshots/000002/{name}")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert workdir.verify() == [f"snapshots/000002/{name}"]
    workdir.repair()
    assert not workdir.run(ALL, 20)
    assert workdir.number() == 2
    assert workdir.verify() == []
    assert workdir.rows() == expected_rows(SIX, 20)


def test_the_only_snapshot_is_made_again_too(workdir: Workdir) -> None:
    workdir.gc(1)
    workdir.store.delete("snapshots/000002/stages.parquet")
    workdir.repair()
    assert not workdir.run(ALL, 20)
    assert workdir.rows() == expected_rows(SIX, 20)
    assert workdir.verify() == []


def test_a_file_that_is_not_ours_is_named_and_left(workdir: Workdir) -> None:
    key = "snapshots/000001/gather/mine.parquet"
    workdir.store.write_text(key, "mine")
    assert workdir.verify() == [key]
    workdir.repair()
    assert workdir.store.exists(key)


def test_pointers_are_mended(workdir: Workdir) -> None:
    workdir.store.write_text(LATEST, "000001\n")
    workdir.store.path("corpus").unlink()
    assert "corpus" in workdir.verify()
    workdir.store.delete(LATEST)
    assert LATEST in workdir.verify()
    workdir.repair()
    assert workdir.verify() == []
    assert workdir.rows() == expected_rows(SIX, 20)


def test_a_snapshot_that_cannot_be_read_gives_way_to_its_parent(workdir: Workdir) -> None:
    workdir.store.write_text("snapshots/000002/snapshot.json", '{"number": ')
    assert "snapshots/000002/snapshot.json" in workdir.verify()
    workdir.repair()
    snapshot = latest_snapshot(workdir.store)
    assert snapshot is not None
    assert snapshot.number == 1
    workdir.run(ALL, 20)
    assert workdir.number() == 2
    assert workdir.verify() == []


def test_a_damaged_catalogue_is_named(workdir: Workdir) -> None:
    workdir.store.write_text("manifest/catalogue.parquet", "PAR1")
    assert [d.kind for d in inspect(workdir.store).damages] == [Kind.CATALOGUE]


def test_what_nothing_knows_is_no_damage(workdir: Workdir) -> None:
    workdir.run([*ALL, recording("new")], 20, tasks=2, remember=False)
    assert workdir.verify() == []
    report = json.loads(workdir.store.read_text("snapshots/000002/snapshot.json") or "")
    assert report["number"] == 2
