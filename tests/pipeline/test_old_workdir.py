"""A WORKDIR that an earlier version made goes on: only what changed on purpose is computed anew.

`tests/data/workdir` was made by `wavemill curate call.flac manifest.jsonl --out work --executor
inline` at the commit before stages were declared as classes, without the link `corpus`.
"""

from __future__ import annotations

import re
import shutil
from importlib import metadata
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.support import ROOT
from wavemill.pipeline.build import execute, prepare, publish
from wavemill.pipeline.changes import changes
from wavemill.pipeline.config import config_from
from wavemill.pipeline.curation import Config
from wavemill.pipeline.execution.events import ShardFailed
from wavemill.pipeline.quality.database import create_views, newest_snapshot
from wavemill.pipeline.quality.listening import find_place, read_clips
from wavemill.pipeline.request import remembered
from wavemill.pipeline.store import Store
from wavemill.pipeline.summary import summarise

MADE = ROOT / "tests" / "data" / "workdir"
# On purpose: version 3 of tokenize leaves storing audio to store_audio, and the verdict reads the
# new stage score_signal. The diarize engine silero is gone, and diarize and transcribe read the
# audio that a setting names. Since decode is a stage, denoise reads its blocks, and so everything
# is computed anew.
CHANGED = {"denoise", "verdict", "tokenize", "pretrain", "sft"} | {
    *("diarize", "transcribe", "score_audio", "score_text", "tokenize_text"),
}
LINES = [
    "decode is computed for 2 recordings (8 s of audio): it is a new stage",
    "denoise is computed anew for 2 recordings (8 s of audio): stage version 3 -> 4",
    "diarize is computed anew for 2 recordings (8 s of audio): engine silero -> campplus, "
    "reads original, a new setting; with it score_text, tokenize_text, pretrain, sft",
    "transcribe is computed anew for 2 recordings (8 s of audio): engine pocketsphinx -> "
    "faster_whisper, reads original, a new setting",
    "score_audio is computed anew for 2 recordings (8 s of audio): engine version 1 -> 2, "
    "dnsmos.precision int8, a new setting; with it verdict",
    "score_signal is computed for 2 recordings (8 s of audio): it is a new stage",
    "store_audio is computed for 2 recordings (8 s of audio): it is a new stage",
    "tokenize is computed anew for 2 recordings (8 s of audio): stage version 2 -> 3",
]
MADE_SNAPSHOT = MADE / "work" / "snapshots" / "000001"


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy, on a machine that has the packages whose weights it was made with."""
    shutil.copytree(MADE, tmp_path, dirs_exist_ok=True)
    stages = pq.read_table(MADE_SNAPSHOT / "stages.parquet")
    found = dict(re.findall(r"([a-z-]+) (\d[\w.]*)", " ".join(map(str, stages.to_pylist()))))
    installed = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: found.get(name) or installed(name))
    return tmp_path


def test_the_build_goes_on(workdir: Path) -> None:
    out = workdir / "work"
    config = config_from(Config, remembered(Store.open(str(out))).config)
    for stage in ("diarize", "transcribe"):  # their engines are gone: it is computed anew anyway
        assert getattr(config, stage).reads == "original"
    assert config.denoise.engine == "rnnoise"  # type: ignore[attr-defined]
    sources = [str(workdir / "call.flac"), str(workdir / "manifest.jsonl")]
    build = prepare(sources, str(out), config)
    stages = pq.read_table(MADE_SNAPSHOT / "stages.parquet").to_pylist()
    recorded = {row["stage"]: row["fingerprint"] for row in stages}
    found = build.plan.graph.fingerprints
    assert {name for name in recorded if found[name] != recorded[name]} == CHANGED
    # The recordings lie elsewhere now, which what reads labels has to see.
    to_do = {load.stage: load.shards for load in build.plan.loads()}
    assert {stage for stage in recorded if to_do[stage] == 0} == recorded.keys() - CHANGED
    assert changes(build.plan, build.store) == LINES
    for event in execute(build):
        assert not isinstance(event, ShardFailed)
    publish(build)
    assert changes(build.plan, build.store) == []

    def rows(snapshot: Path) -> list[dict]:  # type: ignore[type-arg]
        table = pq.read_table(snapshot / "pretrain")
        scores = [name for name in table.column_names if name.startswith("dnsmos")]
        # DNSMOS hears more windows than when the WORKDIR was made.
        table = table.drop_columns(["source", "lineage_id", *scores])
        return table.sort_by("segment_id").to_pylist()

    def labelled(snapshot: Path) -> list[dict]:  # type: ignore[type-arg]
        return [row for row in rows(snapshot) if row["text_source"] == "manifest"]

    assert labelled(out / "corpus") == labelled(MADE_SNAPSHOT)
    assert len(labelled(out / "corpus")) == 1
    call = [row["speaker"] for row in rows(out / "corpus") if row["text_source"] == "asr"]
    assert call == ["S00", "S01"]  # silero heard one speaker
    assert_item_is_heard(build.store)


def test_stored_audio_is_heard(workdir: Path) -> None:
    """In the old snapshot tokenize stored it."""
    assert_item_is_heard(Store.open(str(workdir / "work")))


def test_an_old_snapshot_is_seen_as_a_whole(workdir: Path) -> None:
    """Its stage denoise decoded, and stored both versions of every recording."""
    store = Store.open(str(workdir / "work"))
    snapshot = newest_snapshot(store)
    with duckdb.connect() as database:
        create_views(database, store, snapshot, "1")
        assert database.execute("from discrepancies").fetchall() == []
        assert database.execute("select stage from funnel").fetchall()[:3] == [
            ("sources",),
            ("denoise",),
            ("diarize",),
        ]
        database.execute("create table seen as from segments where text_source = 'asr'")
        ((segment_id, *_), *_) = database.execute("select segment_id from seen").fetchall()
        place = find_place(database, segment_id)
        assert place is not None
        clips = read_clips(store, place)
    assert [clip.version for clip in clips] == ["original", "enhanced"]
    assert summarise(store, snapshot).ms_in > 0


def assert_item_is_heard(store: Store) -> None:
    with duckdb.connect() as database:
        create_views(database, store, newest_snapshot(store), "1")
        database.execute("create table seen as from segments where text_source = 'manifest'")
        ((segment_id,),) = database.execute("select segment_id from seen").fetchall()
        place = find_place(database, segment_id)
        assert place is not None
        (clip,) = read_clips(store, place)
    assert clip.version == "original"
    assert len(clip.audio) == (place.end_ms - place.start_ms) * clip.sample_rate // 1000
