"""What scores a benchmark, with its judge where it needs one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wavemill.model.evaluate.benchmarks.schema import Benchmark
from wavemill.model.evaluate.judge.asking import Judge
from wavemill.model.evaluate.judge.endpoint import EndpointJudge, JudgeSettings
from wavemill.model.evaluate.runs.record import RunError
from wavemill.model.evaluate.scorers.registry import scorer
from wavemill.model.evaluate.scoring import Mode, Scorer


def scorer_for(
    benchmark: Benchmark, mode: Mode = "default", judge: Callable[[], Judge] | None = None
) -> Scorer:
    """Return what scores a benchmark; `judge` is called where it needs one.

    Raises RunError for a benchmark that no program scores, and EvaluationError.
    """
    chosen = benchmark.scorer
    if chosen is None:
        why = (
            "it is the mean of other benchmarks: run those, and `wavemill leaderboard` adds it"
            if benchmark.mean_of
            else "people listen to it"
        )
        raise RunError(f"{benchmark.name} cannot be scored: {why}")
    return scorer(chosen.name, chosen.options, mode, judge)


def judge_from_environment(
    cache: Path, progress: Callable[[int, int], None] | None = None
) -> Callable[[], Judge]:
    """Return what makes the judge that WAVEMILL_JUDGE_URL and its kind name.

    `cache` is a folder for its replies. What is returned raises EvaluationError where the
    environment names none.
    """

    def made() -> Judge:
        return EndpointJudge(JudgeSettings.from_environment(), cache, progress)

    return made
