"""Every benchmark finds its scorer, and its metric is what that scorer gives."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from wavemill.model.evaluate.benchmarks.schema import Benchmark, published_benchmarks
from wavemill.model.evaluate.judge.asking import JudgePrompt, JudgeReply
from wavemill.model.evaluate.runs.record import RunError
from wavemill.model.evaluate.runs.score import scorer_for
from wavemill.model.evaluate.scoring import Answered

KNOWN = published_benchmarks()
SCORED = [name for name, benchmark in KNOWN.items() if benchmark.scorer is not None]


class YesMan:
    """A judge that likes everything."""

    model = "yes-man"

    def ask(self, prompts: Sequence[JudgePrompt]) -> list[JudgeReply]:
        both = '{"reason": "good", "verdict": "correct", "rating": 5}'
        return [JudgeReply(both) for _ in prompts]


def answered(benchmark: Benchmark) -> Answered:
    details = {"instruction_ids": ["change_case:english_lowercase"], "kwargs": [{}]}
    gold = benchmark.options[0] if benchmark.options else "A"
    language = benchmark.language or "en"
    return Answered("a", gold, (gold,), "Which?", benchmark.options, language, details)


@pytest.mark.parametrize("name", SCORED)
def test_the_main_metric_is_the_benchmarks(name: str) -> None:
    benchmark = KNOWN[name]
    scores = scorer_for(benchmark, judge=YesMan).score([answered(benchmark)])
    main = scores.metrics[0]
    assert main.better == benchmark.metric.better
    assert main.name in {benchmark.metric.name, "cer"}
    assert main.count + main.unscored == 1


@pytest.mark.parametrize("name", sorted(set(KNOWN) - set(SCORED)))
def test_what_no_program_scores_says_so(name: str) -> None:
    with pytest.raises(RunError, match=r"cannot be scored: (it is the mean of|people listen)"):
        scorer_for(KNOWN[name])
