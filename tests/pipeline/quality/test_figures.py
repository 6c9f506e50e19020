"""The page's figures against queries written by hand."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.quality.support import Shard, judged_workdir, page_of, recording, write_workdir
from tests.stages.verdict.scores import Asr, Judge, judged
from wavemill.pipeline.quality.browse import make_browsable
from wavemill.pipeline.quality.distributions import BINS, scale
from wavemill.pipeline.quality.figures import SHOWN, Figures, read_figures
from wavemill.pipeline.quality.samples import read_samples
from wavemill.pipeline.quality.what_if import kept_with, read_what_if
from wavemill.pipeline.store import Store
from wavemill.stages.verdict.stage import join_scores

DURATION = 60_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return judged_workdir(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def figures(store: Store) -> Figures:
    with page_of(store) as (snapshot, database):
        return read_figures(database, store, snapshot)


@pytest.fixture
def database(store: Store, figures: Figures) -> Iterator[duckdb.DuckDBPyConnection]:
    """What a person opens."""
    del figures  # it wrote the file
    with duckdb.connect(store.path("quality.duckdb"), read_only=True) as database:
        yield database


def test_figures_are_those_of_the_views(
    figures: Figures, database: duckdb.DuckDBPyConnection
) -> None:
    def one(query: str) -> object:
        return database.execute(query).fetchall()[0][0]

    totals, headline = figures.totals, figures.headline
    assert totals.input_ms == one("select sum(duration_ms) from accounting") == 41 * DURATION
    assert totals.kept_ms == one("select sum(kept_ms) from accounting")
    assert totals.error_ms == one("select sum(error_ms) from accounting") == DURATION
    assert headline.segments == one("select count(*) from segments") == 400
    assert headline.kept_segments == one("select count(*) from segments where kept")
    assert 0 < headline.kept_segments < 400
    assert headline.speakers == one("select count(*) from hours_by_speaker") == 40
    assert headline.median_snr_db == one("select median(snr_db) from segments where kept")
    (failure,) = figures.failures
    assert (failure.stage, failure.reason) == ("decode", "went_wrong")
    assert [(s.stage, s.hours_out) for s in figures.funnel] == database.execute(
        "select stage, hours_out from funnel"
    ).fetchall()
    assert [(r.rule, r.segments, r.only_hours) for r in figures.rules] == database.execute(
        "select rule, segments, only_hours from rejections_by_rule"
    ).fetchall()


def test_shares_add_up(figures: Figures, database: duckdb.DuckDBPyConnection) -> None:
    ((hours, kept_hours),) = database.execute(
        "select sum(duration_s) / 3600, sum(duration_s) filter (kept) / 3600 from segments"
    ).fetchall()
    assert [share.rest for share in figures.speakers] == [0] * SHOWN + [40 - SHOWN]
    assert sum(share.count for share in figures.speakers) == 400
    for shares in (figures.speakers, figures.languages):
        assert sum(s.hours for s in shares) == pytest.approx(hours)
        assert sum(s.kept for s in shares) == pytest.approx(kept_hours)
    sources = figures.sources
    assert {s.name for s in sources} == {f"/audio/set{n}" for n in range(3)} | {"/audio/set"}
    assert sum(s.hours for s in sources) * 3.6e6 == pytest.approx(figures.totals.input_ms)


def test_bars_are_histograms(figures: Figures, database: duckdb.DuckDBPyConnection) -> None:
    found = {one.column: one for one in figures.distributions}
    assert set(found) >= {"duration_s", "dnsmos_overall", "snr_db", "asr_confidence"}
    for column, one in found.items():
        values = database.execute(
            f"select {column}, kept from segments where {column} is not null"
        ).fetchall()
        assert one.known == len(values) == sum(bar.kept + bar.rejected for bar in one.bins)
        inner = one.bins[1:-1]
        for bar in inner:
            end = bar.start + one.width
            inside = [kept for value, kept in values if bar.start <= value < end]
            assert (bar.kept, bar.rejected) == (sum(inside), len(inside) - sum(inside)), column
    assert [(line.side, line.value) for line in found["snr_db"].lines] == [("min", 3.0)]
    assert found["dnsmos_overall"].unknown == 400 - found["dnsmos_overall"].known


@given(st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 3)), min_size=1, max_size=5))
def test_scales_hold_their_values(values: list[float]) -> None:
    first, width, count = scale(values)
    assert first * width <= min(values) + width * 1e-6
    assert max(values) < (first + count) * width + width * 1e-6
    assert count <= BINS + 2
    assert f"{width:e}"[0] in "125"


def test_what_if_is_what_a_verdict_with_other_thresholds_keeps(store: Store) -> None:
    moved = {"low_snr": 8.0, "low_dnsmos_overall": None, "too_short": 0.5}
    asr = Asr(min_snr_db=8.0, min_dnsmos_overall=None, min_duration_s=0.5)
    tables = [
        store.read_table(f"stages/{stage}/{'f' * 16}/{'a' * 16}-0123456789ab.parquet")
        for stage in Judge.inputs
    ]
    kept = judged(join_scores(tables), asr)["kept"].to_pylist()
    with page_of(store) as (snapshot, database):
        read_figures(database, store, snapshot)
        make_browsable(database)
        assert kept_with(database, "asr", moved)[0] == sum(kept)
        assert kept_with(database, "asr", {})[0] == read_what_if(database)[0].kept
        with pytest.raises(KeyError):
            kept_with(database, "asr", {"language_not_allowed": 1.0})


def test_what_if_of_many_is_a_sample(store: Store) -> None:
    with page_of(store) as (snapshot, database):
        read_figures(database, store, snapshot)
        (sampled,) = read_what_if(database, limit=50)
        (whole,) = read_what_if(database)
    assert (sampled.segments, sampled.sampled) == (400, 50)
    assert (whole.segments, whole.sampled) == (400, 400)
    for found in (sampled, whole):
        broken = np.frombuffer(base64.b64decode(found.broken), "<u4")
        assert len(broken) == found.sampled
        for column in found.columns.values():
            assert len(base64.b64decode(column)) == 4 * found.sampled
    assert int((np.frombuffer(base64.b64decode(whole.broken), "<u4") == 0).sum()) == whole.kept


def test_samples_stand_at_the_threshold(store: Store) -> None:
    with page_of(store) as (snapshot, database):
        read_figures(database, store, snapshot)
        samples = read_samples(database, store, snapshot)
        group = next(group for group in samples.groups if group.rule == "low_snr")
        ((worst, best),) = database.execute(
            "select max(snr_db), min(snr_db) from (select * from segments where kept or "
            "list_contains(list_transform(broken, lambda b: b.rule), 'low_snr')) "
            "where snr_db < 3"
        ).fetchall()
        ((nearest,),) = database.execute(
            "select min(snr_db) from segments where kept and snr_db >= 3"
        ).fetchall()
    assert best < worst
    assert samples.segments[group.rejected[0]].scores["snr_db"] == worst
    assert samples.segments[group.accepted[0]].scores["snr_db"] == nearest
    assert all(not sample.sounds for sample in samples.segments.values())  # cannot be decoded


def test_the_snapshot_before_is_compared(tmp_path: Path) -> None:
    rec, other = recording(1), recording(2)
    shard = Shard(recordings=[rec])
    shard.decode(rec)
    shard.segment(rec, 0, 5000)
    write_workdir(tmp_path, [shard])
    shard.recordings.append(other)
    shard.decode(other)
    shard.segment(other, 0, 4000)
    store = write_workdir(tmp_path, [shard], number=2)
    (tmp_path / "snapshots/000002/config.json").write_text(
        json.dumps({"a": {"b": 1}}), encoding="utf-8"
    )
    with page_of(store) as (snapshot, database):
        change = read_figures(database, store, snapshot).change
    assert change is not None
    assert (change.older, change.newer, change.counts) == (1, 2, {"added": 1})
    assert [row.source for row in change.recordings] == [other.uri]
    assert [(s.field, s.before, s.after) for s in change.settings] == [("a.b", "None", "1")]
