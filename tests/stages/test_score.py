"""Declarations of scores: the order of rules, thresholds of engines, scores of two columns."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stages.verdict.scores import GOOD, Judge, scores
from wavemill.pipeline.curation import STAGES, all_scores, scoring_stages
from wavemill.stages.score import (
    BY_ENGINE,
    Aspect,
    AtLeast,
    AtMost,
    Difference,
    Place,
    Quotient,
    Score,
    rules_of,
    shown,
    stored,
)
from wavemill.stages.stage import EngineStage
from wavemill.stages.verdict.stage import judge, settings_class, with_engine

ABOUT: dict[str, Any] = {"title": "T", "description": "D", "aspect": Aspect.EXTENT}
LOUDER = Difference(
    column="snr_less_quality",
    left="snr_db",
    right="dnsmos_overall",
    rules=(AtLeast("louder_than_good", asr=0.0),),
    **ABOUT,
)
RATE = Quotient(
    column="chars_per_word",
    left="chars_per_second",
    right="words_per_second",
    rules=(AtMost("long_words", asr=8.0, labelled=20.0, setting="longest_words"),),
    **ABOUT,
)


def test_rules_keep_their_order() -> None:
    assert [rule.name for rule in rules_of(all_scores())] == [
        *("missing_audio", "silent", "too_short", "too_long", "low_speech_ratio"),
        *("overlapped_speech", "clipping", "low_snr"),
        *("low_dnsmos_overall", "low_dnsmos_signal", "low_dnsmos_background"),
        *("language_not_allowed", "low_language_probability", "empty_text"),
        *("high_no_speech_probability", "low_asr_confidence"),
        *("speech_too_fast", "speech_too_slow", "repeated_ngrams", "high_compression_ratio"),
    ]


def test_every_stored_score_is_a_column_of_its_stage_and_has_one_declaration() -> None:
    columns = [score.column for score in all_scores()]
    assert len(set(columns)) == len(columns)
    for stage in scoring_stages():
        for score in stored(stage.scores):
            assert stage.schema.field(score.column).equals(score.field, check_metadata=True)


@pytest.mark.parametrize("field", ["name", "setting"])
def test_two_rules_of_one_name_or_setting_are_refused(field: str) -> None:
    names = {"name": ("same", "same"), "setting": ("a", "b")}[field]
    settings = {"name": ("", ""), "setting": ("max_it", "max_it")}[field]
    rules = [AtMost(name, setting=set_) for name, set_ in zip(names, settings, strict=True)]
    made = [Score(column=f"c{i}", rules=(rule,), **ABOUT) for i, rule in enumerate(rules)]
    with pytest.raises(ValueError, match=f"two rules have the {field}"):
        rules_of(made)


def test_thresholds_of_engines_are_those_that_ask_for_them() -> None:
    asking = {rule.setting for rule in rules_of(all_scores()) if rule.asr == BY_ENGINE}
    engines = [
        engine
        for stage in STAGES
        if issubclass(stage, EngineStage)
        for engine in stage.engines.values()
    ]
    declared = {engine.name: engine(engine.Config()).thresholds() for engine in engines}
    assert {setting for one in declared.values() for setting in one} == asking
    assert {name: one for name, one in declared.items() if one} == {
        "faster_whisper": {"min_asr_confidence": 0.6},
        "paraformer": {"min_asr_confidence": 0.37},
        "by_language": {"min_asr_confidence": 0.37},
    }


def test_a_threshold_that_no_engine_has_filled_in_yet_is_an_error() -> None:
    with pytest.raises(ValueError, match="min_asr_confidence"):
        judge(scores(GOOD), Judge.Settings(), Judge.known)


def test_a_rule_over_two_columns() -> None:
    known = (*Judge.known, LOUDER, RATE)
    settings = with_engine(settings_class(known)(), {})
    rows = [
        GOOD,
        GOOD | {"snr_db": 2.9, "dnsmos_overall": 3.0},
        GOOD | {"chars_per_second": 21.0},
        GOOD | {"chars_per_second": 21.0, "text_source": "manifest"},
        GOOD | {"dnsmos_overall": None, "words_per_second": 0.0, "chars_per_second": 5.0},
    ]
    found = judge(scores(*rows), settings, known).to_pylist()
    assert [[one["rule"] for one in row["broken"]] for row in found] == [
        [],
        ["louder_than_good", "low_snr"],
        ["long_words"],
        [],
        ["speech_too_slow"],
    ]
    broken = found[1]["broken"][0]
    assert (broken["value"], broken["threshold"]) == (pytest.approx(-0.1), 0.0)


numbers = st.none() | st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(numbers, numbers | st.just(0.0)), min_size=1, max_size=5))
def test_derived_scores_are_the_same_in_sql(rows: list[tuple[float | None, float | None]]) -> None:
    left, right = (pa.array(values, pa.float64()) for values in zip(*rows, strict=True))
    table = pa.table({"a": left, "b": right})
    with duckdb.connect() as database:
        database.register("given", table)
        for score in (LOUDER, RATE):
            one = replace(score, left="a", right="b")
            query = f"select {one.sql} from given"
            assert [v for (v,) in database.execute(query).fetchall()] == pytest.approx(
                one.values(table).to_pylist(), nan_ok=True
            )


def test_places_include_each_other_and_texts_are_not_shown() -> None:
    places = [shown(all_scores(), place) for place in Place]
    for wide, narrow in pairwise(places):
        assert set(narrow) < set(wide)
    assert "language" not in [score.column for score in places[0]]
