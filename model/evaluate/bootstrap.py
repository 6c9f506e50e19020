"""How sure a number is: 95 % intervals by drawing the items anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

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
