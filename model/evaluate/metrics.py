"""Metrics over the verdicts of a benchmark."""

from __future__ import annotations

import math
from collections.abc import Sequence

from wavemill.model.evaluate.bootstrap import interval
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
