"""Every stored case of judge/ and aggregation/."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("opencc", reason="the extra `evaluate` is not installed")

from tests.model.evaluate.conformance import TABLE, FixedJudge, by_subset, item, needs_cases, stored
from wavemill.model.evaluate.benchmarks.schema import benchmark_named
from wavemill.model.evaluate.judge.rubrics import rubrics
from wavemill.model.evaluate.metrics import mean_of
from wavemill.model.evaluate.scorers.asr import AsrScorer
from wavemill.model.evaluate.scorers.choice import ChoiceScorer
from wavemill.model.evaluate.scorers.judged import JudgedScorer
from wavemill.model.evaluate.scorers.registry import rubric_of
from wavemill.model.evaluate.scoring import Answered, Scorer, Scores

pytestmark = needs_cases
REPLIES = "judge/parsing_cases.json"
RUNS = "aggregation/dataset_level_runs.json"
RULES = "aggregation/aggregation_rules.json"
RUBRIC = {
    "yes_no": "reference_qa",
    "open_qa_rating": "open_qa",
    "oab_alpaca_eval": "instruction_quality",
    "oab_reasoning_qa": "reasoning",
    "oab_llama_questions": "llama_questions",
    "oab_trivia_qa": "fact_qa",
    "oab_web_questions": "fact_qa",
}
RIGHT_OR_WRONG = {"correct": 1.0, "incorrect": 0.0, "not correct": 0.0}
NUMBERS = {"nan": math.nan, "inf": math.inf}


def _wanted(case: dict[str, Any]) -> float | None:
    """Return the value that the toolkit reads; None also where it stops."""
    value = case.get("score", case.get("counted_as"))
    if isinstance(value, str):
        return {**RIGHT_OR_WRONG, **NUMBERS}.get(value)
    return value


def _judged(rubric: str, replies: list[str | None]) -> Scores:
    scorer = JudgedScorer(FixedJudge(replies), rubrics()[rubric], "compat")
    return scorer.score([item("answer", "gold")] * len(replies))


@pytest.mark.parametrize("kind", RUBRIC)
def test_replies_one_by_one(kind: str) -> None:
    part = f"{REPLIES} {kind}"
    cases = stored(REPLIES)[kind]["cases"]
    scores = _judged(RUBRIC[kind], [case["judge_reply"] for case in cases])
    for case, item_score in zip(cases, scores.item_scores, strict=True):
        TABLE.case(part, str(item_score.value), str(_wanted(case)), case["judge_reply"])
        if case["judge_reply"] is None:
            assert item_score.note.startswith("judge failed: ")
    if any("error" in case and case["error"] for case in cases):
        TABLE.note(part, "unscored where the toolkit stops")
    TABLE.passes(part)


@pytest.mark.parametrize("kind", RUBRIC)
def test_replies_that_cannot_be_read_give_no_score_and_no_error(kind: str) -> None:
    part = f"{REPLIES} all_replies_invalid"
    if "all_replies_invalid" in stored(REPLIES)[kind]:
        scores = _judged(RUBRIC[kind], ["?", "?"])
        metric = scores.metrics[0]
        found = (math.isnan(metric.value), metric.count, metric.unscored)
        TABLE.case(part, found, (True, 0, 2), kind)
        TABLE.note(part, "the toolkit divides by zero; ours has no score")
        TABLE.passes(part)


def test_same_replies_on_several_data_sets() -> None:
    part = f"{REPLIES} same_four_replies"
    same = stored(REPLIES)["yes_no"]["same_four_replies_on_other_datasets"]
    for name, result in same["results"].items():
        for rubric in ("reference_qa", "multiple_choice", "closed_set", "spoken_qa"):
            (wanted,) = result["performance"].values()
            metric = _judged(rubric, same["replies"]).metrics[0]
            found = (round(metric.value, 2), metric.count + metric.unscored)
            TABLE.case(part, found, (wanted["acc"], wanted["total"]), (name, rubric))
    TABLE.passes(part)


RUBRIC_OF_SUBSET = {
    "alpaca_eval": "instruction_quality",
    "llama_questions": "llama_questions",
    "reasoning_qa": "reasoning",
    "trivia_qa": "fact_qa",
    "web_questions": "fact_qa",
}
OPEN = {"alpacaeval_full", "commoneval", "ifeval", "advbench"}
ENGLISH = {"LibriSpeech", "Fleurs-en"}


def _scorer(run: dict[str, Any], subset: str, rows: list[dict[str, Any]]) -> Scorer:
    if run["result_method"] == "vb-mcq":
        return ChoiceScorer("compat")
    if "judge_reply" not in rows[0]:
        return AsrScorer("compat")
    default = "open_qa" if run["dataset"] in OPEN else "reference_qa"
    rubric = rubrics()[RUBRIC_OF_SUBSET.get(subset, default)]
    return JudgedScorer(FixedJudge([row["judge_reply"] for row in rows]), rubric, "compat")


def _answered(run: dict[str, Any], row: dict[str, Any]) -> Answered:
    language = "en" if run["dataset"] in ENGLISH else "zh"
    answer = row.get("prediction", "answer")
    return item(answer, row["answer"], language, subset=row["subset"])


def _result(run: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return our numbers in the form of the toolkit's result."""
    found = {}
    for subset in sorted({row["subset"] for row in run["rows"]}):
        rows = [row for row in run["rows"] if row["subset"] == subset]
        answered = [_answered(run, row) for row in rows]
        for name, scores in by_subset(_scorer(run, subset, rows), answered).items():
            metric = scores.metrics[0]
            values = [v.value for v in scores.item_scores]
            found[name] = {
                "value": round(metric.value, 2),
                "scored": metric.count,
                "rows": len(values),
            }
    return found


def _official(performance: dict[str, dict[str, float]], asr: bool) -> dict[str, Any]:
    wanted = {}
    for subset, one in performance.items():
        value = next(one[key] for key in ("wer", "acc", "score") if key in one)
        scored = one.get("valid", one["total"] - one.get("invalid", 0))
        wanted[subset] = {"value": value, "scored": scored, "rows": None if asr else one["total"]}
    return wanted


def test_whole_data_sets() -> None:
    for run in stored(RUNS)["runs"]:
        run = run | {"result_method": run.get("result", {}).get("eval_method")}
        if not run["ok"]:
            continue
        found = _result(run)
        wanted = _official(run["result"]["performance"], run["result"]["task"] == "ASR")
        if run["result"]["task"] == "ASR":
            for one in found.values():
                one["rows"] = None  # rows left out are not in the toolkit's total
        if "unknown method" in run["name"]:  # the judge's reply is not used
            wanted["emotion"]["value"] = 0.0
        TABLE.case(RUNS, found, wanted, run["name"])
    TABLE.passes(RUNS)


def test_data_sets_that_stop_the_toolkit() -> None:
    part = f"{RUNS} toolkit stops"
    right = {
        "all predictions null -> empty corpus": {"aishell1_test": (None, 0, 2)},
        "empty reference among the first five of a subset": {"aishell1_test": (50.0, 2, 2)},
        "one judge call that failed for good, MQA": {"emotion": (100.0, 1, 2)},
        "one judge call that failed for good, OpenAudioBench": {"alpaca_eval": (50.0, 1, 2)},
    }
    for run in stored(RUNS)["runs"]:
        if run["ok"]:
            continue
        if run["name"] not in right:
            TABLE.skip(part, 1, "PEDANT, never run; ours right where the toolkit stops")
            continue
        found = {
            subset: (
                None if math.isnan(one["value"]) else one["value"],
                one["scored"],
                one["rows"],
            )
            for subset, one in _result(run | {"result_method": None}).items()
        }
        TABLE.case(part, found, right[run["name"]], run["name"])
    TABLE.passes(part)


def test_averages() -> None:
    rules = stored(RULES)
    points = {"alpacaeval": 20.0, "commoneval": 20.0}
    for model, check in rules["voicebench_average_check"].items():
        inputs = check["inputs"]
        found = mean_of(inputs, {name: points.get(name, 1.0) for name in inputs})
        TABLE.case(f"{RULES} VoiceBench", round(found, 4), check["computed"], model)
        assert abs(found - check["published"]) < 0.01
    for model, check in rules["table7_average_check"].items():
        values = {str(i): value for i, value in enumerate(check["inputs"])}
        found = mean_of(values, dict.fromkeys(values, 1.0))
        TABLE.case(f"{RULES} table 7", round(found, 4), check["computed"], model)
    TABLE.passes(f"{RULES} VoiceBench")
    TABLE.passes(f"{RULES} table 7")


READER = {
    "single_choice": "yes_or_no",
    "ref_qa": "yes_or_no",
    "sd_qa": "yes_or_no",
    "open_qa": "rating",
    "oab_alpaca_eval": "rating_of_ten",
    "oab_reasoning_qa": "points_of_five",
    "oab_llama_questions": "score_is",
    "oab_trivia_qa": "judgment",
}
BENCHMARKS = {  # of the toolkit's data sets that we give to a judge in compat
    "CochlScene": "cochlscene-test",
    "MELD": "meld",
    "Nonspeech7k": "nonspeech7k",
    "TUT2017": "tut2017",
    "VocalSound": "vocalsound",
    "ClothoAQA": "clothoaqa-test",
    "sd-qa": "voicebench-sdqa",
    "alpacaeval_full": "voicebench-alpacaeval",
    "commoneval": "voicebench-commoneval",
}
BY_RULES: dict[str, tuple[str, dict[str, Any]]] = {  # by rules, unless a judge is asked for
    "mmau-test-mini": ("multiple_choice", {"judge": True}),
    "mmsu": ("multiple_choice", {"judge": True}),
    "openbookqa": ("multiple_choice", {"judge": True}),
    "advbench": ("open_qa", {}),
    "ifeval": ("open_qa", {}),
}


def test_what_the_judge_is_asked_for_each_data_set() -> None:
    part = "judge/prompt_structure.json selection_per_dataset"
    for case in stored("judge/prompt_structure.json")["selection_per_dataset"]:
        dataset = case["dataset"]
        if dataset in BY_RULES:
            asked = rubric_of(*BY_RULES[dataset], "compat")
        else:
            name = BENCHMARKS.get(dataset) or f"openaudiobench-{case['subset']}"
            chosen = benchmark_named(name).scorer
            assert chosen is not None
            asked = rubric_of(chosen.name, chosen.options, "compat")
        assert asked is not None
        rubric = rubrics()[asked]
        found = (
            rubric.published,
            "references" in rubric.shows,
            rubric.prompt(item("a", "b"), "compat").temperature,
        )
        wanted = (
            READER[case["template"][0]],
            case["gold_in_prompt"],
            case["request_kwargs"]["temperature"],
        )
        TABLE.case(part, found, wanted, (dataset, case["subset"]))
    TABLE.passes(part)
