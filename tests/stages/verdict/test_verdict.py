"""The verdict: every rule by name, all broken rules, and what thresholds do."""

from __future__ import annotations

import time
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.stages.verdict.scores import (
    DIGIT,
    GOOD,
    SCORES,
    SCORING,
    Asr,
    Judge,
    Labelled,
    judged,
    scores,
    settings,
)
from tests.support import MemoryUpstream
from wavemill.manifests.recording import Recording
from wavemill.stages.score import AtLeast, AtMost, rules_of
from wavemill.stages.verdict.stage import SCHEMA, join_scores
from wavemill.stages.verdict.thresholds import AsrThresholds

RULES = rules_of(Judge.known)
EVERY = Asr(max_no_speech_probability=0.6)  # with the one that is off by default


def broken(row: dict[str, Any], asr: AsrThresholds = EVERY, **others: Any) -> list[str]:
    verdict = judged(scores(row), asr, **others).to_pylist()[0]
    names = [entry["rule"] for entry in verdict["broken"]]
    assert verdict["kept"] == (not names)
    return names


def check_rule(changed: dict[str, Any], rule: str) -> None:
    """A good segment passes; with `changed` it breaks exactly `rule`; nulls never break it."""
    assert broken(GOOD) == []
    assert broken(GOOD | changed) == [rule]
    nullable = {name: None for name in changed if SCORES.field(name).nullable}
    assert broken(GOOD | changed | nullable) == ([] if nullable else [rule])


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"missing_ratio": 0.2}, "missing_audio"),
        ({"peak_dbfs": -100.0}, "silent"),
        ({"duration_s": 0.4}, "too_short"),
        ({"duration_s": 31.0}, "too_long"),
        ({"speech_ratio": 0.2}, "low_speech_ratio"),
        ({"overlap_ratio": 0.7}, "overlapped_speech"),
        ({"clipping_ratio": 0.05}, "clipping"),
        ({"snr_db": -2.0}, "low_snr"),
        ({"dnsmos_overall": 1.1}, "low_dnsmos_overall"),
        ({"dnsmos_signal": 1.1}, "low_dnsmos_signal"),
        ({"dnsmos_background": 1.1}, "low_dnsmos_background"),
        ({"language": "de"}, "language_not_allowed"),
        ({"language_probability": 0.3}, "low_language_probability"),
        ({"text_length": 0}, "empty_text"),
        ({"no_speech_prob": 0.9}, "high_no_speech_probability"),
        ({"asr_confidence": 0.05}, "low_asr_confidence"),
        ({"words_per_second": 12.0}, "speech_too_fast"),
        ({"words_per_second": 0.1}, "speech_too_slow"),
        ({"repeated_ngram_ratio": 0.5}, "repeated_ngrams"),
        ({"compression_ratio": 3.0}, "high_compression_ratio"),
    ],
)
def test_rule(changed: dict[str, Any], rule: str) -> None:
    check_rule(changed, rule)


def test_every_rule_has_a_test_above() -> None:
    tested = {case[1] for mark in test_rule.pytestmark for case in mark.args[1]}  # type: ignore[attr-defined]
    assert tested == {rule.name for rule in RULES}
    assert len(tested) == len(RULES)


def test_a_value_equal_to_its_threshold_passes() -> None:
    assert broken(GOOD | {"duration_s": 1.0, "clipping_ratio": 0.01}) == []


def test_all_broken_rules_are_recorded_in_order_with_value_and_threshold() -> None:
    row = GOOD | {"language": "de", "asr_confidence": 0.05, "duration_s": 0.5}
    assert judged(scores(row)).to_pylist()[0]["broken"] == [
        {
            "rule": "too_short",
            "value": 0.5,
            "value_text": None,
            "threshold": 1.0,
            "threshold_text": None,
        },
        {
            "rule": "language_not_allowed",
            "value": None,
            "value_text": "de",
            "threshold": None,
            "threshold_text": "en,zh",
        },
        {
            "rule": "low_asr_confidence",
            "value": 0.05,
            "value_text": None,
            "threshold": 0.37,
            "threshold_text": None,
        },
    ]


def test_labelled_items_have_rules_of_their_own() -> None:
    assert broken(DIGIT) == []
    assert broken(DIGIT | {"text_source": "asr"}) == ["too_short", "low_dnsmos_overall"]
    strict = Labelled(min_duration_s=0.5)
    assert broken(DIGIT, labelled=strict) == ["too_short"]
    assert broken(GOOD, labelled=strict) == []


def test_an_item_without_a_transcript_has_no_text_to_be_empty() -> None:
    assert broken(DIGIT | {"text_length": None}) == []
    assert broken(DIGIT | {"text_length": 0}) == ["empty_text"]


def test_a_threshold_of_none_switches_its_rule_off() -> None:
    off = Asr(allowed_languages=None, min_duration_s=None)
    assert broken(GOOD | {"language": "de", "duration_s": 0.1}, off) == []


def test_partial_settings_keep_the_defaults_of_their_own_set() -> None:
    config: Any = Judge.Settings.model_validate(
        {"labelled": {"min_snr_db": 5}, "asr": {"min_snr_db": 5}}
    )
    assert config.labelled.min_duration_s == Labelled().min_duration_s
    assert config.asr.allowed_languages == ("en", "zh")


def test_an_unknown_threshold_is_an_error() -> None:
    with pytest.raises(ValidationError):
        Judge.Settings.model_validate({"asr": {"min_snr": 5}})


def test_rows_keep_their_order_and_broken_rules_their_rows() -> None:
    rows = [
        GOOD | {"segment_id": "a", "duration_s": 0.1},
        GOOD | {"segment_id": "b"},
        DIGIT | {"segment_id": "c", "text_length": 0},
        GOOD | {"segment_id": "d", "duration_s": 0.1, "text_length": 0},
    ]
    table = judged(scores(*rows))
    assert table.schema.equals(SCHEMA, check_metadata=True)
    found = {r["segment_id"]: [b["rule"] for b in r["broken"]] for r in table.to_pylist()}
    assert found == {
        "a": ["too_short"],
        "b": [],
        "c": ["empty_text"],
        "d": ["too_short", "empty_text"],
    }
    assert list(found) == ["a", "b", "c", "d"]


def test_no_segments_give_no_rows() -> None:
    assert judged(scores()).num_rows == 0


def test_stage_joins_the_scores_whatever_their_order() -> None:
    rows = [GOOD | {"segment_id": "a", "snr_db": -9.0}, GOOD | {"segment_id": "b"}]
    table = scores(*rows)
    tables = {stage.name: table.select(stage.schema.names) for stage in SCORING}
    tables["score_signal"] = tables["score_signal"].take([1, 0])
    upstream = MemoryUpstream("r", tables)
    verdict = Judge(settings())
    verdicts = pa.Table.from_batches(verdict(Recording("r", "r.wav", 1), upstream))
    assert verdicts["segment_id"].to_pylist() == ["a", "b"]
    assert verdicts["kept"].to_pylist() == [False, True]


def test_scores_of_different_segments_do_not_join() -> None:
    audio = scores(GOOD).select(SCORING[0].schema.names)
    text = scores(GOOD | {"segment_id": "other"}).select(SCORING[2].schema.names)
    with pytest.raises(ValueError, match="same segments"):
        join_scores([audio, text])


numbers = st.none() | st.floats(-5, 40)
segments = st.lists(
    st.fixed_dictionaries(
        {
            "text_source": st.sampled_from(["asr", "manifest"]),
            "duration_s": st.floats(0, 40),
            "snr_db": numbers,
            "asr_confidence": numbers,
            "clipping_ratio": st.floats(0, 1),
            "language": st.sampled_from([None, "en", "zh", "de"]),
        }
    ),
    max_size=6,
)


@given(
    segments,
    st.sampled_from([rule for rule in RULES if isinstance(rule, AtLeast | AtMost)]),
    st.floats(0, 20),
    st.floats(0, 20),
)
def test_loosening_a_threshold_never_rejects_more(
    rows: list[dict[str, Any]], rule: AtLeast | AtMost, start: float, change: float
) -> None:
    start, looser = round(start), round(start + change * (1 if isinstance(rule, AtMost) else -1))
    table = scores(*(GOOD | row for row in rows))
    strict = judged(table, Asr(**{rule.setting: start}))
    loose = judged(table, Asr(**{rule.setting: looser}))
    for before, after in zip(strict.to_pylist(), loose.to_pylist(), strict=True):
        assert after["kept"] >= before["kept"]
        assert {b["rule"] for b in after["broken"]} <= {b["rule"] for b in before["broken"]}


@given(segments)
def test_the_verdict_of_a_segment_depends_on_its_own_scores_only(
    rows: list[dict[str, Any]],
) -> None:
    full = [GOOD | row for row in rows]
    together = judged(scores(*full))
    alone = [judged(scores(row)).to_pylist()[0] for row in full]
    assert together.to_pylist() == alone


def test_a_hundred_thousand_segments_take_no_time() -> None:
    three = scores(GOOD, DIGIT, GOOD | {"snr_db": -9.0})
    table = three.take(pa.array([i % 3 for i in range(100_000)]))
    start = time.perf_counter()
    verdicts = judged(table)
    assert time.perf_counter() - start < 2.0
    assert verdicts.num_rows == 100_000
