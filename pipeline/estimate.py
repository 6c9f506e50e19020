"""Estimated costs of a plan, from the costs of the same stages in this WORKDIR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.plan import Plan


@dataclass(frozen=True)
class Cost:
    """Estimated cost of the work of a stage; None if the stage has never run in this WORKDIR.

    `at_most`: the stage only adds rows that become kept, so the cost may be lower.
    """

    cpu_hours: float | None = None
    gpu_hours: float | None = None
    bytes: int | None = None
    at_most: bool = False


def estimate(plan: Plan) -> dict[str, Cost]:
    """Return the cost of every stage with work.

    The speed of a stage (CPU seconds, GPU seconds and bytes per ms of audio) comes from outputs
    with the same fingerprint, and otherwise from the newest outputs of the stage, which may have
    another engine or other settings.
    """
    loads = [load for load in plan.loads() if load.shards]
    if not loads:
        return {}
    costs = {}
    with memory_database() as database:
        plan.ledger.show(database)
        for load in loads:
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
    """Return the sum, which is an upper bound; None if the cost of a stage is unknown."""
    hours = [cost.cpu_hours for cost in costs.values()]
    return None if None in hours else 3600 * sum(h for h in hours if h is not None)


def _cost(audio_ms: int, rates: tuple[float, float, float], at_most: bool) -> Cost:
    cpu_seconds, gpu_seconds, size = (rate * audio_ms for rate in rates)
    return Cost(cpu_seconds / 3600, gpu_seconds / 3600, round(size), at_most)
