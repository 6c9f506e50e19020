"""The views: what they show, from where they can be read, and what they never read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyarrow import fs

from tests.pipeline.quality.support import Shard, error_of, recording, write_workdir
from tests.stages.verdict.scores import settings
from tests.support import MemoryUpstream, without_channels
from wavemill.manifests.recording import Item
from wavemill.pipeline.curation import all_scores
from wavemill.pipeline.quality.database import (
    DATABASE,
    NoSnapshot,
    create_views,
    new_database,
    newest_snapshot,
)
from wavemill.pipeline.store import Store
from wavemill.stages.score import rules_of
from wavemill.stages.segments import segments_of
from wavemill.stages.verdict.stage import join_scores

HOUR = 3_600_000


@contextmanager
def views(store: Store) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as database:
        create_views(database, store, newest_snapshot(store), "test")
        yield database


def write(store: Store) -> None:
    with new_database(store, "test"):
        pass


def rows(database: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return database.execute(query).fetchall()


@pytest.fixture
def shard() -> Shard:
    """Ten hours decoded; three kept, one and two rejected."""
    shard, rec = Shard(), recording(1, 10 * HOUR)
    shard.recordings.append(rec)
    shard.decode(rec)
    shard.segment(rec, 0, 3 * HOUR)
    shard.segment(rec, 3 * HOUR, 4 * HOUR, ["too_short", "low_snr"], speaker="S01")
    shard.segment(rec, 5 * HOUR, 7 * HOUR, ["low_snr"], text="<script> 'quoted'")
    return shard


def test_summaries_are_those_of_the_segments(tmp_path: Path, shard: Shard) -> None:
    with views(write_workdir(tmp_path, [shard])) as database:
        assert rows(
            database, "select status, first_rule, text from segments order by start_ms"
        ) == [
            ("kept", None, "hello"),
            ("rejected", "too_short", "hello"),
            ("rejected", "low_snr", "<script> 'quoted'"),
        ]
        columns = "hours, first_hours, only_hours, segments, first_segments, only_segments"
        assert rows(database, f"select rule, {columns} from rejections_by_rule") == [
            ("low_snr", 3, 2, 2, 2, 1, 1),
            ("too_short", 1, 1, 0, 1, 1, 0),
        ]
        columns = "hours, kept_hours, segments, kept_segments, recordings"
        assert rows(database, f"select speaker, {columns} from hours_by_speaker") == [
            ("S00", 5, 3, 2, 1, 1),
            ("S01", 1, 0, 1, 0, 1),
        ]
        columns = "hours, kept_hours, rejected_hours, segments, recordings"
        assert rows(database, f"select language, {columns} from hours_by_language") == [
            ("en", 6, 3, 3, 3, 1)
        ]
        columns = "recordings, hours, kept_hours, rejected_hours, non_speech_hours, error_hours"
        assert rows(database, f"select source, {columns} from hours_by_source") == [
            ("/audio/set", 1, 10, 3, 3, 4, 0)
        ]
        assert rows(
            database, "select rule, position, rules_broken from rejections order by 3, 2"
        ) == [
            ("low_snr", 1, 1),
            ("too_short", 1, 2),
            ("low_snr", 2, 2),
        ]


def test_funnel_follows_the_hours_through_the_stages(tmp_path: Path, shard: Shard) -> None:
    early, late = recording(2, HOUR), recording(3, HOUR)
    items = recording(4, 2 * HOUR, items=(Item("0", 0, HOUR, text="one"),))
    shard.recordings += [early, late, items]
    shard.decode(late)
    shard.segment(late, 0, HOUR // 2)  # judged, and then tokenize failed
    shard.score(items, f"{items.recording_id}-0-0-{HOUR}")
    errors = [error_of(early, "decode"), error_of(late, "tokenize")]
    with views(write_workdir(tmp_path, [shard], errors)) as database:
        found = rows(database, "select stage, hours_in, hours_out, recordings_in from funnel")
        assert found == [
            ("sources", 14, 14, 4),
            ("decode", 12, 11, 3),
            ("denoise", 11, 11, 2),
            ("diarize", 11, 6.5, 2),
            ("transcribe", 6.5, 6.5, 2),
            ("score_audio", 7.5, 7.5, 3),
            ("score_signal", 7.5, 7.5, 3),
            ("score_text", 7.5, 7.5, 3),
            ("verdict", 7.5, 4.5, 3),
            ("store_audio", 4.5, 4.5, 3),
            ("tokenize", 4.5, 4, 3),
            ("tokenize_text", 4, 4, 2),
            ("pretrain", 4, 3, 2),
        ]
        assert rows(
            database, "select distinct status from segments where source like '%/3.flac'"
        ) == [("error",)]


def test_labelled_items_have_the_ids_and_speakers_of_the_stages(tmp_path: Path) -> None:
    spans = [(2000, 3000), (0, 1000), (2000, 3000), (0, 1000), (500, 800)]
    items = tuple(
        Item(
            f"{i:02d}-{channel}",
            *span,
            text=f"t{i}",
            speaker=("", None, "anna")[i % 3],
            channel=channel,
        )
        for i, span in enumerate(spans)
        for channel in (None, 0, 1)
    )
    shard = Shard(recordings=[recording(1, items=items), recording(2, items=items, speaker="bob")])
    with views(write_workdir(tmp_path, [shard])) as database:
        for rec in shard.recordings:
            expected = [
                (s.segment_id, s.segment_index, s.track, s.speaker, s.item.text)
                for s in segments_of(rec, MemoryUpstream(rec.recording_id, {}))
                if s.item is not None
            ]
            query = "select segment_id, segment_index, track, speaker, text from segments where "
            where = f"recording_id = '{rec.recording_id}' order by segment_index"
            assert rows(database, query + where) == expected


@pytest.mark.parametrize("remote", [False, True])
def test_tables_of_an_earlier_version_are_shown(tmp_path: Path, remote: bool) -> None:
    """Columns and fields that they lack are null."""
    shard = Shard(recordings=[recording(1, items=(Item("a", 0, 1000, text="x"),))])
    shard.score(shard.recordings[0], f"{shard.recordings[0].recording_id}-0-0-1000")
    store = write_workdir(tmp_path, [shard])
    (key,) = (k for k in store.keys("snapshots") if k.endswith("/recordings.parquet"))
    store.write_table(key, without_channels(store.read_table(key)))
    (key,) = (k for k in store.keys("stages/score_signal") if k.endswith(".parquet"))
    late = ["peak_dbfs", "inverted_channels"]
    store.write_table(key, store.read_table(key).drop_columns(late))
    if remote:
        store = Store("", fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()))
    with views(store) as database:
        query = "select track, text, snr_db, peak_dbfs, inverted_channels from segments"
        assert rows(database, query) == [(0, "x", 12.5, None, None)]


def test_members_of_a_tar_shard_belong_to_its_folder(tmp_path: Path) -> None:
    uris = ["/a/x.tar#m/1.flac", "s3://b/y.tar.gz#2.flac", "/a/c#1/3.flac", "4.flac"]
    shard = Shard(recordings=[recording(i, uri=uri) for i, uri in enumerate(uris)])
    with views(write_workdir(tmp_path, [shard])) as database:
        found = [source for (source,) in rows(database, "select source from hours_by_source")]
        assert sorted(found) == ["/a", "/a/c#1", "4.flac", "s3://b"]


def test_thresholds_are_those_of_the_verdict(tmp_path: Path, shard: Shard) -> None:
    with views(write_workdir(tmp_path, [shard])) as database:
        columns = set(database.sql("from segments").columns)
        found = {
            (rule, source): (column, side, allowed if value is None else value)
            for rule, source, column, side, value, allowed in rows(
                database,
                'select rule, text_source, "column", side, value, allowed from thresholds',
            )
        }
    held = settings()
    for rule in rules_of(all_scores()):
        for source, thresholds in (("asr", held.asr), ("manifest", held.labelled)):
            column, side, value = found[rule.name, source]
            wanted = rule.threshold(thresholds)
            assert column == rule.column
            assert column in columns
            assert value == (list(wanted) if isinstance(wanted, tuple) else wanted)
            assert side == ("one_of" if rule.column == "language" else rule.setting[:3])


def test_stage_speed_counts_an_output_once(tmp_path: Path, shard: Shard) -> None:
    write_workdir(tmp_path, [shard], number=1)
    with views(write_workdir(tmp_path, [shard], number=2)) as database:
        query = "select outputs, audio_hours, worker_hours, times_real_time from stage_speed"
        assert rows(database, f"{query} where stage = 'decode'") == [(1, 0.01, 0.001, 10)]
        assert rows(database, "select number, parent from snapshots") == [(1, None), (2, 1)]


def test_no_ledger_means_no_speed(tmp_path: Path, shard: Shard) -> None:
    store = write_workdir(tmp_path, [shard])
    store.delete_folder("manifest/ledger")
    with views(store) as database:
        assert rows(database, "from stage_speed") == []


def test_no_recordings_make_empty_views(tmp_path: Path) -> None:
    with views(write_workdir(tmp_path, [])) as database:
        tables = rows(
            database,
            "select table_name from duckdb_tables() union all "
            "select view_name from duckdb_views() where not internal",
        )
        assert len(tables) > 20
        for name in ("segments", "corpus", "accounting", "rejections", "hours_by_source"):
            assert rows(database, f"from {name}") == []


def test_the_sft_corpus_is_there_when_it_was_built(tmp_path: Path, shard: Shard) -> None:
    store = write_workdir(tmp_path, [shard])
    with views(store) as database, pytest.raises(duckdb.CatalogException):
        rows(database, "from sft")
    store.write_table(
        "snapshots/000001/sft/a.parquet",
        store.read_table(f"snapshots/000001/pretrain/{shard.shard_id}.parquet"),
    )
    with views(store) as database:
        assert rows(database, "select count(*) from sft") == [(1,)]


def test_the_file_works_from_anywhere_and_is_mended_after_a_move(
    tmp_path: Path, shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "it's [old]*", tmp_path / "new"
    old.mkdir()
    monkeypatch.chdir(tmp_path)
    write_workdir(old, [shard])
    write(Store.open(old.relative_to(tmp_path)))
    monkeypatch.chdir("/")
    with duckdb.connect(old / DATABASE, read_only=True) as database:
        assert rows(database, "select count(*) from segments") == [(3,)]
    old.rename(new)
    with (
        duckdb.connect(new / DATABASE, read_only=True) as database,
        pytest.raises(duckdb.IOException),
    ):
        rows(database, "from segments")
    write(Store.open(new))
    with duckdb.connect(new / DATABASE, read_only=True) as database:
        assert rows(database, "select count(*), count(words) from segments") == [(3, 3)]
    assert sorted(path.name for path in new.iterdir() if path.is_file()) == [DATABASE]


def test_a_reader_of_the_old_file_is_not_disturbed(tmp_path: Path, shard: Shard) -> None:
    store = write_workdir(tmp_path, [shard], number=1)
    write(store)
    with duckdb.connect(tmp_path / DATABASE, read_only=True) as reader:
        write(write_workdir(tmp_path, [shard], number=2))
        assert rows(reader, "select snapshot from about") == [(1,)]
        assert rows(reader, "select count(*) from segments") == [(3,)]


def test_no_view_shows_audio_of_a_stage(tmp_path: Path, shard: Shard) -> None:
    with views(write_workdir(tmp_path, [shard])) as database:
        found = rows(
            database,
            "select table_name from information_schema.columns where column_name = 'audio'",
        )
        assert found == [("corpus",)]


def test_tables_of_a_remote_workdir_are_copied_without_audio(tmp_path: Path, shard: Shard) -> None:
    local = write_workdir(tmp_path, [shard])
    remote = Store("", fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()))
    query = "select * exclude (broken, words) from segments order by all"
    with views(local) as database:
        expected = rows(database, query)
    with views(remote) as database:
        assert rows(database, query) == expected
        assert rows(database, "select text from corpus") == [("hello",)]
        assert "audio" not in database.sql("from corpus").columns


def test_a_folder_without_a_snapshot_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoSnapshot, match="wavemill curate"):
        write(Store.open(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_scores_of_snapshots_before_the_signal_had_a_stage_are_shown(tmp_path: Path) -> None:
    """There score_audio had all columns; another shard of it may be of today."""
    shards = [Shard(shard_id="a" * 16), Shard(shard_id="b" * 16)]
    for number, shard in enumerate(shards):
        shard.recordings.append(recording(number))
        shard.segment(shard.recordings[0], 0, 1000)
    store = write_workdir(tmp_path, shards)
    (signal,) = (k for k in store.keys("stages/score_signal") if "/" + "a" * 16 in k)
    (audio,) = (k for k in store.keys("stages/score_audio") if "/" + "a" * 16 in k)
    both = join_scores([store.read_table(audio), store.read_table(signal)])
    store.write_table(audio, both)
    query = "select snr_db, audio_version, inverted_channels from segments"
    with views(store) as database:
        assert rows(database, query) == [(12.5, "original", [])] * 2
    lineage = store.read_table("snapshots/000001/lineage.parquet")
    kept = [row for row in lineage.to_pylist() if row["stage"] != "score_signal"]
    alone = [row for row in kept if row["shard_id"] == "a" * 16]
    store.write_table(
        "snapshots/000001/lineage.parquet", pa.Table.from_pylist(alone, lineage.schema)
    )
    with views(store) as database:
        assert rows(database, f"{query} where snr_db is not null") == [(12.5, "original", [])]
