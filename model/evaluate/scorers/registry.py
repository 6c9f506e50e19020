"""Scorers by the names that benchmarks give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wavemill.model.evaluate.judge.asking import Judge
from wavemill.model.evaluate.judge.rubrics import rubrics
from wavemill.model.evaluate.scorers.asr import AsrScorer
from wavemill.model.evaluate.scorers.choice import ChoiceScorer, LabelScorer
from wavemill.model.evaluate.scorers.ifeval import IfevalScorer
from wavemill.model.evaluate.scorers.judged import JudgedScorer
from wavemill.model.evaluate.scorers.refusal import RefusalScorer
from wavemill.model.evaluate.scoring import EvaluationError, Mode, Scorer

BY_RULES: Mapping[str, Callable[[Mode], Scorer]] = {
    "asr": AsrScorer,
    "multiple_choice": ChoiceScorer,
    "classification": lambda _: LabelScorer(),
    "refusal": RefusalScorer,
    "ifeval": IfevalScorer,
}
RUBRIC_OF_SCALE = {"1-5": "open_qa", "1-10": "instruction_quality", "0-5": "reasoning"}
RUBRIC_OF_NAME = {
    "reference_qa": "reference_qa",
    "multiple_choice": "multiple_choice",
    "classification": "closed_set",
}
OPTIONS = {
    "reference_qa": {"rubric"},
    "open_qa": {"rubric", "scale"},
    "multiple_choice": {"judge", "rubric"},
    "classification": {"judge", "rubric"},
}
NAMES = tuple(sorted({*BY_RULES, *OPTIONS}))


def rubric_of(name: str, options: Mapping[str, Any], mode: Mode = "default") -> str | None:
    """Return the rubric that a judge needs for a scorer; None for one that needs no judge.

    Options: `rubric` names one; `judge: true` gives a choice or a class to the judge instead of
    rules; `scale` (1-5, 1-10 or 0-5) picks a rating. In mode `compat` classes go to the judge, as
    the published toolkit has no rules for them. Raises EvaluationError for unknown names, options
    and values.
    """
    if name not in NAMES:
        raise EvaluationError(f"there is no scorer {name!r}; there are: {', '.join(NAMES)}")
    allowed = OPTIONS.get(name, set())
    if odd := sorted(options.keys() - allowed):
        known = ", ".join(sorted(allowed)) or "none"
        raise EvaluationError(f"scorer {name!r} has no option {odd[0]!r} (options: {known})")
    if "rubric" in options:
        return _known(str(options["rubric"]), rubrics(), "rubric")
    if name == "open_qa":
        scale = str(options.get("scale", "1-5"))
        return RUBRIC_OF_SCALE[_known(scale, RUBRIC_OF_SCALE, "scale")]
    judged = name not in BY_RULES or options.get("judge", False)
    if judged or (name == "classification" and mode == "compat"):
        return RUBRIC_OF_NAME[name]
    return None


def scorer(
    name: str,
    options: Mapping[str, Any] | None = None,
    mode: Mode = "default",
    judge: Callable[[], Judge] | None = None,
) -> Scorer:
    """Return a scorer. `judge` is called only where one is needed.

    Raises EvaluationError for unknown names, options and values, and where a judge is needed and
    `judge` is None.
    """
    rubric = rubric_of(name, options or {}, mode)
    if rubric is None:
        return BY_RULES[name](mode)
    if judge is None:
        raise EvaluationError(f"scorer {name!r} needs an LLM judge")
    return JudgedScorer(judge(), rubrics()[rubric], mode)


def _known(value: str, known: Mapping[str, Any], what: str) -> str:
    if value not in known:
        raise EvaluationError(f"there is no {what} {value!r}; there are: {', '.join(known)}")
    return value
