"""How sure a number is: 95 % intervals by drawing the items anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DRAWS = 1000
INDICES_AT_ONCE = 2_000_000


def interval(
    shares: Sequence[float], weights: Sequence[float], seed: int = 0, draws: int = DRAWS
) -> tuple[float, float] | None:
    """Return the 2.5th and 97.5th percentile of sum(shares) / sum(weights) over drawn items.

    `shares` and `weights` are per item: errors and reference words, or verdicts and ones. None for
    fewer than two items, or where a draw may weigh nothing. The same input gives the same interval.
    """
    count = len(shares)
    if count < 2 or not any(weights):
        return None
    over, under = np.asarray(shares, float), np.asarray(weights, float)
    random = np.random.default_rng(seed)
    ratios: list[np.ndarray] = []
    rows = max(1, INDICES_AT_ONCE // count)
    for start in range(0, draws, rows):
        drawn = random.integers(0, count, (min(rows, draws - start), count))
        totals = under[drawn].sum(axis=1)
        filled = totals > 0
        ratios.append(over[drawn].sum(axis=1)[filled] / totals[filled])
    low, high = np.percentile(np.concatenate(ratios), [2.5, 97.5])
    return float(low), float(high)
