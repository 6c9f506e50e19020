"""Metrics over the verdicts of a benchmark, with 95 % intervals by bootstrap over the items."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from wavemill.model.evaluate.scoring import Better, Metric, Verdict

PERCENT = 100.0


def ratio(
    name: str,
    shares: Sequence[float],
    weights: Sequence[float],
    *,
    better: Better,
    scale: float = PERCENT,
    unscored: int = 0,
) -> Metric:
    """Return sum(shares) / sum(weights) times `scale`, with its interval; NaN over nothing."""
    whole = sum(weights)
    value = scale * sum(shares) / whole if whole else math.nan
    bounds = interval(shares, weights) if math.isfinite(value) else None
    low, high = (scale * bounds[0], scale * bounds[1]) if bounds else (None, None)
    return Metric(name, value, low, high, len(shares), unscored, better)


def mean(
    name: str, verdicts: Sequence[Verdict], *, better: Better = "higher", scale: float = PERCENT
) -> Metric:
    """Return the mean value of those verdicts that have one, times `scale`."""
    values = [verdict.value for verdict in verdicts if verdict.value is not None]
    unscored = len(verdicts) - len(values)
    return ratio(name, values, [1.0] * len(values), better=better, scale=scale, unscored=unscored)


def share(name: str, verdicts: Sequence[Verdict], *, better: Better = "higher") -> Metric:
    """Return the percentage right (value 1) of all items, the unscored ones counted as wrong."""
    values = [verdict.value or 0.0 for verdict in verdicts]
    unscored = sum(verdict.value is None for verdict in verdicts)
    return ratio(name, values, [1.0] * len(values), better=better, unscored=unscored)


DRAWS = 1000
INDICES_AT_ONCE = 2_000_000


def interval(
    shares: Sequence[float], weights: Sequence[float], seed: int = 0, draws: int = DRAWS
) -> tuple[float, float] | None:
    """Return the bounds of sum(shares) / sum(weights) over drawn items.

    `shares` and `weights` are per item: errors and reference words, or verdicts and ones.
    """
    return interval_of(np.column_stack([shares, weights]), lambda s: s[:, 0] / s[:, 1], seed, draws)


def interval_of(
    table: np.ndarray,
    value: Callable[[np.ndarray], np.ndarray],
    seed: int = 0,
    draws: int = DRAWS,
) -> tuple[float, float] | None:
    """Return the 2.5th and 97.5th percentile of a value of column sums.

    `table`: items x columns. `value` takes draws x columns of sums and gives one number a draw;
    draws that give none (0 / 0) are left out. None for fewer than two items, or where no draw
    gives a number. The same input gives the same interval.
    """
    count, columns = table.shape
    if count < 2:
        return None
    random = np.random.default_rng(seed)
    rows = max(1, INDICES_AT_ONCE // (count * columns))
    sums = np.concatenate(
        [
            table[random.integers(0, count, (min(rows, draws - start), count))].sum(axis=1)
            for start in range(0, draws, rows)
        ]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        values = value(sums)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def mean_of(values: Mapping[str, float], factors: Mapping[str, float]) -> float:
    """Return the mean of values times their factors, NaN where one is missing.

    VoiceBench: ratings of 1 to 5 times 20 and percentages times 1
    (aggregation/aggregation_rules.json).
    """
    weighted = [values.get(name, math.nan) * factor for name, factor in factors.items()]
    return math.fsum(weighted) / len(weighted)
