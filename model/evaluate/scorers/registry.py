"""The names of scorers in benchmark files. A new scorer gets an entry here."""

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
    """Return the rubric that a scorer's judge needs; None for a scorer without a judge.

    Options: `rubric` names one; `judge: true` has a choice or a class judged instead of read by
    rules; `scale` (1-5, 1-10 or 0-5) selects a rating. In mode `compat` classes are judged, because
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
    """Return a scorer by name; `judge` is called only if the scorer needs one.

    Raises EvaluationError for unknown names, options and values, and if `judge` is needed and
    None.
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
