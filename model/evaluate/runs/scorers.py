"""Scorers by the names that benchmarks give them."""

from __future__ import annotations

from model.evaluate.benchmarks.schema import Benchmark
from model.evaluate.runs.record import RunError
from model.evaluate.scorers.asr import AsrScorer
from model.evaluate.scoring import Mode, Scorer


def scorer_for(benchmark: Benchmark, mode: Mode = "default") -> Scorer:
    """Return what scores a benchmark. Raises RunError for one that no program scores."""
    chosen = benchmark.scorer
    if chosen is None:
        why = (
            "it is the mean of other benchmarks: run those, and `wavemill leaderboard` adds it"
            if benchmark.mean_of
            else "people listen to it"
        )
        raise RunError(f"{benchmark.name} cannot be scored: {why}")
    if chosen.name == "asr":
        return AsrScorer(mode)
    raise RunError(f"{benchmark.name}: there is no scorer {chosen.name!r}")
