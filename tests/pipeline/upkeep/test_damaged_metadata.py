"""Every small file of a WORKDIR, damaged: one line, and `verify --repair` and a build mend it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipeline.toys import recording
from tests.pipeline.upkeep.workdir import Workdir, expected_rows
from wavemill.pipeline.catalogue import CATALOGUE, read_catalogue
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.damage import Recorded, WorkdirDamaged
from wavemill.pipeline.ledger import FOLDER, ledger_files, read_ledger_file
from wavemill.pipeline.snapshots import LATEST, latest_snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.upkeep.repair import LOST
from wavemill.pipeline.upkeep.withdrawal import WITHDRAWN, add_tombstones, withdrawn_table

SIX = [recording(f"r{i}") for i in range(6)]
ALL = [*SIX, recording("bad one")]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    """Two snapshots; one recording came later, into a shard of its own."""
    made = Workdir(tmp_path_factory.mktemp("built"))
    made.run(ALL[1:], 100)
    made.run(ALL, 20)
    return made


@pytest.fixture
def workdir(built: Workdir, tmp_path: Path) -> Workdir:
    return built.copy(tmp_path)


HARM: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda _: b"",
    "half": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),  # of a machine that lost power
    "no UTF-8": lambda _: b"\xff\xfe\x00\xd8",
    "text": lambda _: b"nothing of the kind\n",
    "JSON": lambda _: b'{"number": [1]}',
    "list": lambda _: b"[]",
    "number": lambda _: b"99",
    "digits": lambda _: b"9" * 5000,
    "other table": lambda _: _table_bytes(),
}
FILES = (LATEST, "snapshots/000002/snapshot.json", "ledger", CATALOGUE)


def _table_bytes() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [1]}), sink)
    return sink.getvalue().to_pybytes()


def attempt(workdir: Workdir) -> str:
    """Build as the last time; return the line that says why not, or nothing."""
    try:
        workdir.run(ALL, 20)
    except WorkdirDamaged as error:
        return str(error)
    return ""


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("name", FILES)
def test_one_line_and_then_mended(workdir: Workdir, name: str, harm: str) -> None:
    key = ledger_files(workdir.store)[0] if name == "ledger" else name
    path = workdir.store.path(key)
    path.write_bytes(HARM[harm](path.read_bytes()))
    line = attempt(workdir)
    assert key in line
    assert f"wavemill verify {workdir.store.root} --repair" in line
    assert "\n" not in line
    assert workdir.verify()
    workdir.repair()
    assert attempt(workdir) == ""
    assert workdir.rows() == expected_rows(SIX, 20)
    workdir.gc(1)
    assert workdir.verify() == []


@pytest.mark.parametrize("name", ["ledger", CATALOGUE])
def test_a_flipped_bit_is_one_line_or_changes_nothing(built: Workdir, name: str) -> None:
    """Of these files no hash is recorded; their pages have checksums, their footers counts."""
    store = built.store
    key = ledger_files(store)[0] if name == "ledger" else name
    path, chance = store.path(key), random.Random(0)
    read = read_catalogue if name == CATALOGUE else partial(read_ledger_file, key=key)
    whole, before = path.read_bytes(), read(store)
    refused = 0
    for _ in range(500):
        content = bytearray(whole)
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        try:
            assert read(store).equals(before)
        except WorkdirDamaged:
            refused += 1
    path.write_bytes(whole)
    assert refused > 200


@pytest.mark.parametrize("harm", ["gone", "text"])
def test_a_catalogue_is_made_again_and_nothing_is_computed(workdir: Workdir, harm: str) -> None:
    before = workdir.store.read_table(CATALOGUE).sort_by("recording_id")
    workdir.store.delete(CATALOGUE)
    if harm == "text":
        workdir.store.write_text(CATALOGUE, "PAR1")
    assert CATALOGUE in attempt(workdir)
    workdir.repair()
    assert workdir.verify() == []
    assert workdir.store.read_table(CATALOGUE).sort_by("recording_id").equals(before)
    assert not workdir.run(ALL, 20)
    assert workdir.number() == 2


def test_who_was_away_stays_away_in_a_catalogue_made_again(workdir: Workdir) -> None:
    """Outputs made without a recording lack its rows: it must not come back into its shard."""
    workdir.run(ALL[1:], 60)
    workdir.store.write_text(CATALOGUE, "PAR1")
    workdir.repair()
    workdir.run(ALL, 60)
    assert workdir.rows() == expected_rows(SIX, 60)
    assert workdir.verify() == []


def test_work_since_the_newest_snapshot_is_not_trusted_to_a_new_catalogue(
    workdir: Workdir,
) -> None:
    workdir.run(ALL[1:], 60, tasks=3)  # without the first, and never published
    workdir.store.write_text(CATALOGUE, "PAR1")
    workdir.repair()
    workdir.run(ALL, 60)
    assert workdir.rows() == expected_rows(SIX, 60)


def test_without_any_snapshot_everything_is_mended_too(tmp_path: Path) -> None:
    workdir = Workdir(tmp_path)
    workdir.run(ALL, 20, tasks=5)
    workdir.store.write_text(CATALOGUE, "PAR1")
    workdir.store.write_text(LATEST, "no number")
    assert attempt(workdir)
    assert set(workdir.verify()) == {CATALOGUE, LATEST}
    workdir.repair()
    assert attempt(workdir) == ""
    assert workdir.rows() == expected_rows(SIX, 20)


def test_what_else_lies_in_the_ledgers_folder_is_left_alone(workdir: Workdir) -> None:
    store = workdir.store
    for name in ("notes.txt", "00000001 (copy).parquet", "1.parquet", "x.parquet.part"):
        store.path(f"{FOLDER}/{name}").write_bytes(b"\xff\x00 no table")
    store.path(f"{FOLDER}/folder").mkdir()
    assert attempt(workdir) == ""
    assert workdir.verify() == []
    workdir.run(ALL, 60)
    assert workdir.rows() == expected_rows(SIX, 60)
    assert store.exists(f"{FOLDER}/notes.txt")


def test_a_stray_segment_is_taken_out(workdir: Workdir) -> None:
    stray = f"{FOLDER}/00000099.parquet"
    workdir.store.write_text(stray, "no table")
    assert stray in attempt(workdir)
    assert stray in workdir.verify()
    workdir.repair()
    assert workdir.verify() == []
    assert not workdir.store.exists(stray)
    assert not workdir.run(ALL, 20)


def test_a_lost_LATEST_does_not_start_anew(workdir: Workdir) -> None:
    """Which would write over the first snapshot."""
    workdir.store.delete(LATEST)
    assert LATEST in attempt(workdir)
    assert workdir.rows("snapshots/000001") == expected_rows(SIX[1:], 100)
    workdir.repair()
    assert attempt(workdir) == ""
    assert workdir.number() == 2


@pytest.mark.parametrize("content", [b"", b"\xff", b"{", b'{"a": 1}', b"[1, null]"])
def test_a_damaged_list_of_lost_parts_stops_nothing(workdir: Workdir, content: bytes) -> None:
    workdir.store.path(LOST).write_bytes(content)
    assert attempt(workdir) == ""
    part, *_ = workdir.store.path("snapshots/000001/gather").iterdir()
    part.unlink()
    workdir.repair()
    assert workdir.verify() == []


def test_damaged_tombstones_are_never_taken_for_none(workdir: Workdir) -> None:
    add_tombstones(workdir.store, {SIX[0].recording_id: []}, "asked", 1)
    path = workdir.store.path(WITHDRAWN)
    for content in (b"", b"no table", path.read_bytes()[:-20]):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=WITHDRAWN):
            withdrawn_table(workdir.store)
        with pytest.raises(ConfigError, match=WITHDRAWN):
            attempt(workdir)


def test_the_snapshots_fields_have_their_types(workdir: Workdir) -> None:
    key = "snapshots/000002/snapshot.json"
    fields = json.loads(workdir.store.read_text(key) or "")
    for name in ("number", "rows", "sha256", "audio_ms", "created"):
        workdir.store.write_text(key, json.dumps({**fields, name: None}))
        with pytest.raises(WorkdirDamaged, match=name):
            latest_snapshot(workdir.store)
    workdir.store.write_text(key, json.dumps({**fields, "number": 1}))
    with pytest.raises(WorkdirDamaged, match="says that it is snapshot 1"):
        latest_snapshot(workdir.store)


def test_errors_and_stores_travel_between_processes(tmp_path: Path) -> None:
    import pickle

    store = Store.open(tmp_path)
    error = store.damaged("a/b", "is missing")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    store.write_text("a", "x")
    store.check("a", Recorded(store.sha256("a"), 1))
    assert pickle.loads(pickle.dumps(store)) == store
