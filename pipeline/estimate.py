"""What a plan will cost, judged by what the same stages cost in this WORKDIR before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from wavemill.pipeline.plan import Plan


@dataclass(frozen=True)
class Cost:
    """Estimated cost of a stage's work; None where the WORKDIR has no experience with it.

    `at_most`: it only has to add what becomes kept, so the figures are what it could come to.
    """

    cpu_hours: float | None = None
    gpu_hours: float | None = None
    bytes: int | None = None
    at_most: bool = False


def estimate(plan: Plan) -> dict[str, Cost]:
    """Return the cost of every stage with work.

    A stage's speed is taken from outputs of the same fingerprint, else from any of the stage's
    outputs (another engine, other settings): CPU seconds, GPU seconds and bytes per ms of audio.
    """
    costs = {}
    with duckdb.connect() as database:
        plan.ledger.show(database)
        for load in plan.loads():
            if load.shards:
                rates = database.execute(_RATES, [load.stage]).fetchall()
                fingerprint = plan.graph.fingerprints[load.stage]
                rates.sort(key=lambda row: (row[0] != fingerprint, -row[1]))
                at_most = load.additions > 0
                costs[load.stage] = _cost(load.audio_ms, rates[0][2:], at_most) if rates else Cost()
    return costs


_RATES = """
select fingerprint, max(finished_ms) as latest, sum(cpu_seconds) / sum(audio_ms),
       sum(seconds * gpus) / sum(audio_ms), sum(bytes) / sum(audio_ms)
from ledger where stage = ? and audio_ms > 0 group by fingerprint
"""


def total_cpu_seconds(costs: Mapping[str, Cost]) -> float | None:
    """Return the sum, at most; None if it is not known of every stage."""
    hours = [cost.cpu_hours for cost in costs.values()]
    return None if None in hours else 3600 * sum(h for h in hours if h is not None)


def _cost(audio_ms: int, rates: tuple[float, float, float], at_most: bool) -> Cost:
    cpu_seconds, gpu_seconds, size = (rate * audio_ms for rate in rates)
    return Cost(cpu_seconds / 3600, gpu_seconds / 3600, round(size), at_most)
