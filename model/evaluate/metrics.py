"""Metrics over the item scores of a benchmark, with 95 % intervals by bootstrap over the items."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from wavemill.model.evaluate.scoring import Better, ItemScore, Metric

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
    """Return sum(shares) / sum(weights) times `scale` with its interval; NaN without items."""
    whole = sum(weights)
    value = scale * sum(shares) / whole if whole else math.nan
    bounds = interval(shares, weights) if math.isfinite(value) else None
    low, high = (scale * bounds[0], scale * bounds[1]) if bounds else (None, None)
    return Metric(name, value, low, high, len(shares), unscored, better)


def mean(
    name: str,
    item_scores: Sequence[ItemScore],
    *,
    better: Better = "higher",
    scale: float = PERCENT,
) -> Metric:
    """Return the mean value of the item scores that have a value, times `scale`."""
    values = [item_score.value for item_score in item_scores if item_score.value is not None]
    unscored = len(item_scores) - len(values)
    return ratio(name, values, [1.0] * len(values), better=better, scale=scale, unscored=unscored)


def share(name: str, item_scores: Sequence[ItemScore], *, better: Better = "higher") -> Metric:
    """Return the percentage of items with value 1; unscored items count as wrong."""
    values = [item_score.value or 0.0 for item_score in item_scores]
    unscored = sum(item_score.value is None for item_score in item_scores)
    return ratio(name, values, [1.0] * len(values), better=better, unscored=unscored)


DRAWS = 1000
INDICES_AT_ONCE = 2_000_000


def interval(
    shares: Sequence[float], weights: Sequence[float], seed: int = 0, draws: int = DRAWS
) -> tuple[float, float] | None:
    """Return the 95 % interval of sum(shares) / sum(weights), by bootstrap over the items.

    `shares` and `weights` have one number per item: errors and reference words, or values of
    item scores and ones. None for fewer than two items.
    """
    return interval_of(np.column_stack([shares, weights]), lambda s: s[:, 0] / s[:, 1], seed, draws)


def interval_of(
    table: np.ndarray,
    value: Callable[[np.ndarray], np.ndarray],
    seed: int = 0,
    draws: int = DRAWS,
) -> tuple[float, float] | None:
    """Return the 2.5th and 97.5th percentile of a function of column sums over drawn items.

    `table` is (items, columns). `value` maps sums, (draws, columns), to one number per draw; draws
    whose number is not finite (0 / 0) are left out. None for fewer than two items, or if no draw
    has a number. The same input gives the same interval.
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
    """Return the mean of values times their factors; NaN if a value is missing.

    VoiceBench: ratings of 1 to 5 times 20 and percentages times 1
    (aggregation/aggregation_rules.json).
    """
    weighted = [values.get(name, math.nan) * factor for name, factor in factors.items()]
    return math.fsum(weighted) / len(weighted)
