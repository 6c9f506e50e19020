"""Every stored case of ifeval/."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("langdetect", reason="the extra `evaluate` is not installed")
pytest.importorskip("nltk", reason="the extra `evaluate` is not installed")

from tests.model.evaluate.conformance import TABLE, needs_cases, stored
from wavemill.model.evaluate.ifeval.text_analysis import NEEDS_PUNKT, has_punkt
from wavemill.model.evaluate.scorers.ifeval import INSTRUCTIONS, IfevalScorer, followed
from wavemill.model.evaluate.scorers.reading import without_tags
from wavemill.model.evaluate.scoring import Answered

pytestmark = needs_cases
SINGLE = "ifeval/single_instruction_cases.json"
GROUPS = "ifeval/aggregate_scores.json"


def test_single_instructions() -> None:
    needs = 0
    for case in stored(SINGLE)["cases"]:
        found = followed(case["response"], case["instruction_id"], case["kwargs"], "compat")
        if found.note == NEEDS_PUNKT:
            needs += 1
        else:
            wanted = (case["strict"], case["loose"])
            TABLE.case(SINGLE, (found.strict, found.loose), wanted, case["id"])
    if needs:
        assert not has_punkt()
        TABLE.skip(SINGLE, needs, "need NLTK's punkt_tab")
    assert set(stored(SINGLE)["coverage"]) == set(INSTRUCTIONS)
    TABLE.passes(SINGLE)


def test_odd_arguments_are_unscored_where_the_toolkit_stops_or_draws() -> None:
    part = f"{SINGLE} odd_arguments"
    for case in stored(SINGLE)["odd_arguments"]:
        found = followed(case["response"], case["instruction_id"], case["kwargs"], "compat")
        outcomes = case["outcomes_over_30_runs"]
        drawn = "random" in case["name"]
        if drawn or not outcomes[0].startswith("("):
            TABLE.case(part, (found.strict, found.note != ""), (None, True), case["name"])
        else:
            TABLE.case(part, [str((found.strict, found.loose))], outcomes, case["name"])
    TABLE.note(part, "unscored where the toolkit stops or draws lots")
    TABLE.passes(part)


def _items() -> dict[str, dict[str, Any]]:
    known = {
        one["prompt"]: one
        for group in stored(GROUPS)["groups"]
        for one in group["items"]
        if isinstance(one, dict)
    }
    for case in stored(SINGLE)["cases"]:
        known[case["id"]] = {
            "prompt": case["id"],
            "instruction_ids": [case["instruction_id"]],
            "kwargs": [case["kwargs"]],
            "response": case["response"],
        }
    return known


def test_whole_evaluations() -> None:
    known = _items()
    for group in stored(GROUPS)["groups"]:
        items = [known.get(one, {}) if isinstance(one, str) else one for one in group["items"]]
        if not all(items):
            TABLE.skip(GROUPS, 1, f"of {group['name']!r} {items.count({})} items are not stored")
            continue
        scores = IfevalScorer("compat").score(
            [
                Answered(
                    one["prompt"],
                    one["response"],
                    question=one["prompt"],
                    details={"instruction_ids": one["instruction_ids"], "kwargs": one["kwargs"]},
                )
                for one in items
            ]
        )
        if any(item_score.note == NEEDS_PUNKT for item_score in scores.item_scores):
            TABLE.skip(GROUPS, 1, "some need NLTK's punkt_tab or are not stored in full")
            continue
        found = {metric.name: round(metric.value / 100, 9) for metric in scores.metrics}
        wanted = {name: round(value, 9) for name, value in group["scores"].items()}
        TABLE.case(GROUPS, found, wanted, group["name"])
    TABLE.passes(GROUPS)


def test_tags_around_answers() -> None:
    part = f"{GROUPS} response_cleanup"
    for case in stored(GROUPS)["response_cleanup_helper_cases"]:
        response = case["input"][0]["response"]
        TABLE.case(part, without_tags(response), case["output"], response)
    TABLE.passes(part)


def test_runs_of_the_whole_data_set() -> None:
    """The toolkit stops in two of three runs; their rows are not stored."""
    part = f"{GROUPS} dataset_level_runs"
    details = {"instruction_ids": ["punctuation:no_comma"], "kwargs": [{"num_words": None}]}
    for mode in ("default", "compat"):
        scores = IfevalScorer(mode).score([Answered("a", "No commas.", details=details)])
        assert [metric.value for metric in scores.metrics] == [100] * 5
    TABLE.skip(part, len(stored(GROUPS)["dataset_level_runs"]), "rows not stored; ours finishes")
