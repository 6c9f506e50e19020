"""A new score is declared with its stage: one folder (`toy_score`) and one line of STAGES."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import soundfile

from tests.pipeline.toy_score.stage import ScoreCalm
from wavemill.pipeline import curation
from wavemill.pipeline.build import execute, prepare, publish
from wavemill.pipeline.config import ConfigError, config_from
from wavemill.pipeline.execution.events import ShardFailed
from wavemill.pipeline.quality.browse import make_browsable
from wavemill.pipeline.quality.database import new_database
from wavemill.pipeline.quality.details import read_details
from wavemill.pipeline.quality.figures import Figures, read_figures
from wavemill.pipeline.quality.page import PAGE, write_page
from wavemill.pipeline.quality.samples import read_samples
from wavemill.pipeline.quality.shard_rows import page_database
from wavemill.pipeline.quality.what_if import kept_with, read_knobs
from wavemill.pipeline.store import Store

Loader = Callable[..., curation.BaseConfig]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Loader:
    """Register the stage; return what loads a configuration with overrides."""
    stages = list(curation.STAGES)
    stages.insert(4, ScoreCalm)
    monkeypatch.setattr(curation, "STAGES", curation.together(stages))
    model = curation.config_class(curation.STAGES)
    return lambda *overrides: config_from(model, {}, overrides)


def rule(config: curation.BaseConfig, kind: str) -> Any:
    """Return the threshold of `not_calm` that the verdict is made with."""
    return curation.make_graph(config).stages["verdict"].parameters[kind]["min_calm"]


def test_a_threshold_is_that_of_the_chosen_engine(load: Loader) -> None:
    assert rule(load(), "raw") == rule(load(), "labelled") == 1.5
    other = "score_calm.engine=milliseconds"
    assert rule(load(other), "raw") == rule(load(other), "labelled") == 1500.0
    # An engine that declares none switches the rule off.
    assert rule(load("score_calm.engine=undeclared"), "raw") is None


def test_an_explicit_threshold_wins(load: Loader) -> None:
    other = "score_calm.engine=milliseconds"
    assert rule(load(other, "filter.asr.min_calm=7"), "raw") == 7
    assert rule(load(other, "filter.asr.min_calm=7"), "labelled") == 1500.0
    assert rule(load("filter.asr.min_calm=null"), "raw") is None
    assert rule(load("filter.asr.min_calm=7", "filter.asr.min_calm=engine"), "raw") == 1.5
    # What is saved and loaded again still follows the engine.
    again = load().model_validate(load().model_dump(mode="json"))
    assert again == load()
    assert again.model_dump(mode="json")["filter"]["asr"]["min_calm"] == "engine"
    with pytest.raises(ConfigError, match=r"filter\.asr\.min_calm"):
        load("filter.asr.min_calm=quiet")


@pytest.fixture
def built(tmp_path: Path, load: Loader) -> Store:
    """Build from three labelled items of 1, 2 and 3 s, the first without a transcript."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(6 * 16_000)
    soundfile.write(tmp_path / "a.wav", noise, 16_000)
    items = [
        {"offset": 0, "duration": 1, "task": "aqa", "question": "What?", "answer": "Noise."},
        {"offset": 1, "duration": 2, "text": "what was said"},
        {"offset": 3, "duration": 3, "text": "what was said then"},
    ]
    lines = [json.dumps({"audio_filepath": "a.wav", **item}) for item in items]
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    build = prepare(
        [str(tmp_path / "manifest.jsonl")],
        str(tmp_path / "work"),
        load("execution.executor=inline", "filter.labelled.max_words_per_second=50"),
    )
    assert not [event for event in execute(build) if isinstance(event, ShardFailed)]
    publish(build)
    return Store.open(str(tmp_path / "work"))


def check_figures(figures: Figures) -> None:
    shown = {score.column: score for score in figures.scores}
    assert (shown["calm"].title, shown["calm"].better) == ("Calmness", "higher")
    charts = {chart.column: chart for chart in figures.distributions}
    assert sum(one.kept + one.rejected for one in charts["calm"].bins) == 3
    assert [(line.rule, line.value) for line in charts["calm"].lines] == [("not_calm", 1.5)]
    assert charts["calm_per_word"].known == 2
    assert [(row.rule, row.segments) for row in figures.rules] == [("not_calm", 1)]


def check_views(database: duckdb.DuckDBPyConnection) -> None:
    query = (
        "select calm, calm_less_duration, calm_per_word, first_rule from segments order by start_ms"
    )
    first, second, third = database.execute(query).fetchall()
    assert first == (1.0, 0.0, None, "not_calm")
    assert second == (2.0, 0.0, pytest.approx(2 / 1.5), None)
    assert third == (3.0, 0.0, pytest.approx(3 / (4 / 3)), None)
    assert database.execute("select count(*) filter (calm = 2) from corpus").fetchall() == [(1,)]


def test_a_score_is_found_in_the_views_in_the_report_and_in_the_corpus(built: Store) -> None:
    with new_database(built, "test") as (snapshot, views):
        check_views(views)
    with page_database(built, snapshot, "test") as database:
        figures = read_figures(database, built, snapshot)
        check_figures(figures)
        knobs = {knob.rule: knob for knob in read_knobs(database, "manifest")}
        assert knobs["not_calm"].setting == "filter.labelled.min_calm"
        assert knobs["calmer_for_longer"].column == "calm_less_duration"
        make_browsable(database)
        assert kept_with(database, "manifest", {"not_calm": 2.5})[0] == 1
        assert kept_with(database, "manifest", {"calmer_for_longer": 0.5})[0] == 0
        ids = database.execute("select segment_id from segments order by start_ms").fetchall()
        scores = read_details(database, [key for (key,) in ids])[ids[2][0]].scores
        assert (scores["calm"], scores["calm_less_duration"]) == (3.0, 0.0)
        write_page(built, figures, read_samples(database, built, snapshot))
    assert '"title": "Calmness"' in (built.read_text(PAGE) or "")
