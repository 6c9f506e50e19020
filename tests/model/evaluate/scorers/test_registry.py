"""Scorers by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.model.evaluate.conformance import FixedJudge
from wavemill.model.evaluate.scorers.judged import JudgedScorer
from wavemill.model.evaluate.scorers.registry import NAMES, rubric_of, scorer
from wavemill.model.evaluate.scoring import EvaluationError


@pytest.mark.parametrize(
    ("name", "options", "rubric"),
    [
        ("asr", {}, None),
        ("multiple_choice", {}, None),
        ("multiple_choice", {"judge": True}, "multiple_choice"),
        ("classification", {}, None),
        ("classification", {"judge": True}, "closed_set"),
        ("refusal", {}, None),
        ("ifeval", {}, None),
        ("reference_qa", {}, "reference_qa"),
        ("reference_qa", {"rubric": "fact_qa"}, "fact_qa"),
        ("open_qa", {}, "open_qa"),
        ("open_qa", {"scale": "1-10"}, "instruction_quality"),
        ("open_qa", {"scale": "0-5"}, "reasoning"),
    ],
)
def test_names(name: str, options: Mapping[str, Any], rubric: str | None) -> None:
    assert name in NAMES
    found = scorer(name, options, judge=lambda: FixedJudge([]))
    assert (found.rubric.name if isinstance(found, JudgedScorer) else None) == rubric
    assert rubric_of(name, options) == rubric


def test_classes_go_to_the_judge_as_published() -> None:
    assert rubric_of("classification", {}, "compat") == "closed_set"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bleu", {}, "no scorer 'bleu'"),
        ("asr", {"scale": 1}, "no option 'scale'"),
        ("open_qa", {"scale": "1-7"}, "no scale '1-7'"),
        ("reference_qa", {"rubric": "x"}, "no rubric 'x'"),
    ],
)
def test_unknown_names_are_named(name: str, options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        scorer(name, options)


def test_a_judge_is_asked_for_only_where_it_is_needed() -> None:
    def none() -> FixedJudge:
        raise EvaluationError("no judge")

    scorer("refusal", judge=none)
    with pytest.raises(EvaluationError, match="no judge"):
        scorer("open_qa", judge=none)
    with pytest.raises(EvaluationError, match="needs an LLM judge"):
        scorer("open_qa")
