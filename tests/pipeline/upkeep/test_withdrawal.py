"""Withdrawn recordings leave and stay out; purged ones leave no byte."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipeline.toys import VERDICT, recording, toy_graph
from tests.pipeline.upkeep.workdir import Workdir, expected_rows
from tests.support import MemoryUpstream
from wavemill.manifests.cache import SCHEMA as CACHE_SCHEMA
from wavemill.manifests.recording import Recording
from wavemill.pipeline.catalogue import CATALOGUE
from wavemill.pipeline.graph import Graph
from wavemill.pipeline.ledger import Ledger
from wavemill.pipeline.snapshots import all_snapshots, read_snapshot
from wavemill.pipeline.upkeep.proof import Traces, prove
from wavemill.pipeline.upkeep.purge import affected_files, purge
from wavemill.pipeline.upkeep.withdrawal import (
    ModelNeeded,
    add_tombstones,
    matching,
    reinstate,
    withdrawn_table,
    without_models,
)

SIX = [recording(f"r{i}") for i in range(6)]
BAD = recording("bad one")
ALL = [*SIX, BAD]
GONE = SIX[2]
LEFT = [rec for rec in SIX if rec is not GONE]


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


def names(workdir: Workdir, *patterns: str) -> list[str]:
    return [match.source for match in matching(workdir.store, patterns).recordings]


def test_patterns_name_ids_their_beginnings_and_uris(workdir: Workdir) -> None:
    assert names(workdir, GONE.recording_id) == ["r2.wav"]
    assert names(workdir, GONE.recording_id[:8]) == ["r2.wav"]
    assert names(workdir, "r1.*", "r2.wav") == ["r1.wav", "r2.wav"]
    assert names(workdir, "r?.wav") == [rec.uri for rec in SIX]
    assert len(names(workdir, "*")) == 7


def test_the_end_of_a_uri_is_enough_after_a_slash(tmp_path: Path) -> None:
    workdir = Workdir(tmp_path)
    workdir.run([Recording("a" * 32, "/data/x/one.wav", 1), Recording("b" * 32, "/x/xone.wav", 1)])
    assert names(workdir, "one.wav") == ["/data/x/one.wav"]
    assert names(workdir, "x/*.wav") == ["/data/x/one.wav", "/x/xone.wav"]


@pytest.mark.parametrize("pattern", ["r9.wav", "fffffff", "", "0" * 32])
def test_a_pattern_that_names_nothing_is_refused(workdir: Workdir, pattern: str) -> None:
    with pytest.raises(LookupError, match="not the id or source of a recording"):
        matching(workdir.store, [pattern])


def test_an_ambiguous_beginning_is_refused(tmp_path: Path) -> None:
    workdir = Workdir(tmp_path)
    workdir.run([Recording(f"abcd{i}" + "0" * 27, f"{i}.wav", 1) for i in range(2)])
    with pytest.raises(LookupError, match="2 recordings"):
        matching(workdir.store, ["abcd"])
    assert names(workdir, "abcd1") == ["1.wav"]


def test_a_withdrawn_recording_leaves_at_once_and_no_model_runs(workdir: Workdir) -> None:
    snapshot = workdir.withdraw([GONE.recording_id], 20)
    assert (snapshot.number, snapshot.added, snapshot.removed) == (3, 0, 1)
    assert workdir.rows() == expected_rows(LEFT, 20)
    assert workdir.rows("snapshots/000001") == expected_rows(SIX, 100)
    assert workdir.verify() == []


def test_it_stays_out_while_its_file_is_there(workdir: Workdir) -> None:
    workdir.withdraw([GONE.recording_id], 20)
    assert not workdir.run(ALL, 20)
    assert workdir.number() == 3
    renamed = Recording(GONE.recording_id, "another name.wav", GONE.duration_ms)
    assert not workdir.run([*LEFT, BAD, renamed], 20)
    assert workdir.rows() == expected_rows(LEFT, 20)


def test_a_tombstone_keeps_id_reason_and_time_and_the_first_one_counts(workdir: Workdir) -> None:
    add_tombstones(workdir.store, {GONE.recording_id: ["r2.wav"]}, "consent", 5)
    add_tombstones(workdir.store, {GONE.recording_id: ["r2.*"]}, "again", 6, purge=True)
    (row,) = withdrawn_table(workdir.store).to_pylist()
    assert row["recording_id"] == GONE.recording_id
    assert (row["reason"], row["withdrawn_ms"], row["purge"]) == ("consent", 5, True)
    assert len(row["asked"]) == 2


def test_undo_lets_it_in_again(workdir: Workdir) -> None:
    workdir.withdraw([GONE.recording_id], 20)
    (match,) = matching(workdir.store, ["r2.wav"]).recordings
    assert match.withdrawn
    reinstate(workdir.store, [GONE.recording_id], 2)
    assert workdir.run(ALL, 20)["draw"] == 1
    assert workdir.rows() == expected_rows(SIX, 20)


def test_where_a_model_has_work_it_says_so(workdir: Workdir) -> None:
    workdir.run([*ALL, recording("new")], 20, tasks=1)
    with pytest.raises(LookupError, match="1 shards"):
        workdir.withdraw([GONE.recording_id], 20)
    workdir.run([*ALL, recording("new")], 20)
    assert workdir.rows() == expected_rows([*LEFT, recording("new")], 20)


def test_a_model_that_has_work_only_after_the_verdict_is_noticed() -> None:
    weigh = without_models(toy_graph()).stages["weigh"].build("cpu")
    row = {"recording_id": GONE.recording_id, "segment_id": "s", "kept": True}
    for rows, problem in (([], False), ([row], True)):
        table = pa.Table.from_pylist(rows, schema=VERDICT)
        upstream = MemoryUpstream(GONE.recording_id, {"verdict": table})
        with pytest.raises(ModelNeeded) if problem else nullcontext():
            assert list(weigh(GONE, upstream)) == []


def test_without_models_nothing_else_changes() -> None:
    graph = toy_graph()
    assert isinstance(without_models(graph), Graph)
    assert without_models(graph).fingerprints == graph.fingerprints


def purge_it(workdir: Workdir, *recordings: Recording) -> None:
    ids = [rec.recording_id for rec in recordings]
    assert sum(prove(workdir.store, Traces(pa.array(ids, pa.string()))).rows.values()) > 0
    workdir.withdraw(ids, 20, purge=True)
    proof = purge(workdir.store, "2026-01-01T00:00:00+00:00")
    assert proof.clean
    assert proof.files > 10


def test_after_a_purge_no_file_has_a_row_of_it(workdir: Workdir) -> None:
    purge_it(workdir, GONE)
    needle = GONE.recording_id
    for path in Path(workdir.store.root).rglob("*.parquet"):
        if path.name != "withdrawn.parquet":
            rows = pq.read_table(path).to_pylist()
            assert not any(needle in str(row) or "r2.wav" in str(row) for row in rows), path


def test_everything_else_stays_and_is_sound(workdir: Workdir) -> None:
    purge_it(workdir, GONE)
    assert workdir.rows() == expected_rows(LEFT, 20)
    assert workdir.rows("snapshots/000001") == expected_rows(LEFT, 100)
    assert workdir.rows("snapshots/000002") == expected_rows(LEFT, 20)
    assert workdir.verify() == []
    assert not workdir.run(ALL, 20)
    assert workdir.number() == 3
    workdir.gc(2)
    assert workdir.verify() == []


def test_snapshots_say_that_they_were_purged_and_count_anew(workdir: Workdir) -> None:
    before = read_snapshot(workdir.store, 1)
    purge_it(workdir, GONE)
    first, _, last = all_snapshots(workdir.store)
    assert first.purged == ["2026-01-01T00:00:00+00:00"]
    assert (first.recordings, first.audio_ms) == (before.recordings - 1, before.audio_ms - 60_000)
    assert first.rows == {"gather": len(expected_rows(LEFT, 100))}
    assert last.purged == []


def test_an_older_snapshot_shares_its_bytes_with_the_outputs_still(workdir: Workdir) -> None:
    purge_it(workdir, GONE)
    for snapshot in all_snapshots(workdir.store):
        for part in workdir.store.path(f"{snapshot.folder}/gather").iterdir():
            assert part.stat().st_nlink >= 2


def test_facts_about_the_tables_stay_in_them(workdir: Workdir) -> None:
    facts = {key: workdir.store.facts(key) for key in workdir.files("stages")}
    purge_it(workdir, GONE)
    for key, before in facts.items():
        if before is not None and workdir.store.exists(key):
            after = workdir.store.facts(key) or {}
            assert before.keys() == after.keys()


def test_errors_of_a_purged_recording_go_too(workdir: Workdir) -> None:
    purge_it(workdir, BAD)
    assert workdir.rows() == expected_rows(SIX, 20)
    assert workdir.verify() == []
    assert not list(workdir.store.path("stages").rglob("*.errors.parquet"))
    assert max(Ledger(workdir.store).rows()["errors"].to_pylist()) == 0


def test_a_shard_of_which_nothing_is_left_is_never_taken_for_finished(tmp_path: Path) -> None:
    """The recording comes back, alone in a shard as before: it is computed again."""
    workdir = Workdir(tmp_path)
    workdir.run([GONE], 20)
    purge_it(workdir, GONE)
    assert workdir.rows() == []
    reinstate(workdir.store, [GONE.recording_id], 2)
    assert workdir.run([GONE], 20)["draw"] == 1
    assert workdir.rows() == expected_rows([GONE], 20)
    assert workdir.verify() == []


def test_the_catalogue_keeps_no_trace(workdir: Workdir) -> None:
    shards = set(workdir.store.read_table(CATALOGUE)["shard_id"].to_pylist())
    purge_it(workdir, GONE)
    table = workdir.store.read_table(CATALOGUE)
    assert set(table["shard_id"].to_pylist()) == shards
    assert GONE.recording_id not in table["recording_id"].to_pylist()
    assert "r2.wav" not in table["uri"].to_pylist()


def test_other_tables_in_the_manifest_folder_are_purged(workdir: Workdir) -> None:
    known = {"size": 1, "mtime_ns": 1, "duration_ms": 1}
    rows = [{**known, "uri": r.uri, "recording_id": r.recording_id} for r in SIX]
    table = pa.Table.from_pylist(rows, schema=CACHE_SCHEMA.with_metadata({"version": "1"}))
    workdir.store.write_table("manifest/hash-cache.parquet", table)
    purge_it(workdir, GONE)
    left = workdir.store.read_table("manifest/hash-cache.parquet")
    assert left["uri"].to_pylist() == [r.uri for r in LEFT]
    assert left.schema.metadata[b"version"] == b"1"


def test_leftovers_and_what_is_made_from_tables_go(workdir: Workdir) -> None:
    names = ("stages/draw/.x.parquet.1.tmp", "quality.duckdb", "report/index.html")
    for name in names:
        workdir.store.write_text(name, "r2.wav")
    purge_it(workdir, GONE)
    assert not any(workdir.store.exists(name) for name in names)


def test_a_name_outside_the_workdir_is_told(workdir: Workdir, tmp_path: Path) -> None:
    file = affected_files(workdir.store, [GONE.recording_id])[0]
    os.link(workdir.store.path(file.key), tmp_path / "copy.parquet")
    workdir.withdraw([GONE.recording_id], 20, purge=True)
    proof = purge(workdir.store, "now")
    assert proof.linked_elsewhere == 1
    assert not proof.clean


def test_a_table_of_somebody_else_is_read_for_the_proof(workdir: Workdir) -> None:
    (part, *_) = workdir.store.path("corpus/gather").iterdir()
    workdir.store.write_table("exports/mine.parquet", pq.read_table(part))
    ids = pq.read_table(part)["recording_id"].unique().to_pylist()[:1]
    workdir.withdraw(ids, 20, purge=True)
    proof = purge(workdir.store, "now")
    assert list(proof.rows) == ["exports/mine.parquet"]
    assert not proof.clean
