"""Opening a WORKDIR in Python: which snapshot, and what is said of what is not there."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

import wavemill
from tests.pipeline.quality.support import Shard, recording, write_workdir
from wavemill.pipeline.config import ConfigError


@pytest.fixture
def work(tmp_path: Path) -> Path:
    shard, rec = Shard(), recording(1, 4000)
    shard.recordings = [rec]
    shard.decode(rec)
    shard.segment(rec, 0, 4000, text="good morning")
    write_workdir(tmp_path / "work", [shard])
    return tmp_path / "work"


def test_the_newest_snapshot_is_opened_and_closed(work: Path) -> None:
    with wavemill.open(work) as opened:
        assert opened.number == wavemill.open(str(work), snapshot=opened.number).number
        assert opened.segments.select("text").fetchall() == [("good morning",)]
        (row,) = opened.accounting.to_arrow_table().to_pylist()
        assert row["adds_up"]
        assert {"segments", "accounting", "recordings"} <= set(opened.tables)
        relation = opened.segments
    with pytest.raises(duckdb.Error):
        relation.fetchall()
    assert not (work / "quality.duckdb").exists()


def test_what_is_not_there_is_told(work: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no snapshot 9; there are: 1"):
        wavemill.open(work, snapshot=9)
    with pytest.raises(ConfigError, match="holds no snapshot"):
        wavemill.open(tmp_path / "none")
    with wavemill.open(work) as opened:
        with pytest.raises(ConfigError, match="no table 'segment'; there are about, accounting"):
            opened.table("segment")
        with pytest.raises(ConfigError, match="no corpus 'chat'; there are"):
            opened.corpus("chat")
        with pytest.raises(ConfigError, match="no corpus 'chat'"):
            opened.dataset("chat")


def test_settings_of_a_build_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"did you mean diarize\.max_segment_ms\?"):
        wavemill.curate(tmp_path, tmp_path / "o", config={"diarize": {"max_segments_ms": 1}})
    with pytest.raises(ConfigError, match="there is no training 'chat'"):
        wavemill.batches(tmp_path, "chat")  # type: ignore[arg-type]
