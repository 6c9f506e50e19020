"""Whether two numbers differ by more than chance.

Two runs on the same items: paired bootstrap, which draws the same items for both; the difference is
significant if 95 % of the draws have the same sign. Two runs on different items: from the widths
of their intervals. A run and a published score, whose items are unknown: whether the score is
outside the run's interval, as if it were exact. Two published scores cannot be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wavemill.model.evaluate.leaderboard.collect import Cell, Run
from wavemill.model.evaluate.metrics import DRAWS, INDICES_AT_ONCE
from wavemill.model.evaluate.runs.score import read_item_scores
from wavemill.model.evaluate.scoring import ItemScore

Kind = Literal["paired", "intervals", "published"]
EDITS = ("substitutions", "deletions", "insertions")
SAME_SCALE = 1e-6


@dataclass(frozen=True)
class ScoreDifference:
    """The first number minus the second, in the metric's unit; `low` to `high`: 95 %."""

    value: float
    low: float
    high: float
    kind: Kind
    items: int | None = None  # shared, of a paired one

    @property
    def significant(self) -> bool:
        return self.low > 0 or self.high < 0


def difference(first: Cell, second: Cell) -> ScoreDifference | None:
    """Return the difference of two cells of a line; None if they cannot be compared."""
    if first.run is None and second.run is None:
        return None
    if first.run is None or second.run is None:
        return _published(first, second)
    same = first.run.record.items_sha256 == second.run.record.items_sha256
    if same and (paired := _paired(first.run, second.run)) is not None:
        return paired
    return _intervals(first, second)


def _published(first: Cell, second: Cell) -> ScoreDifference | None:
    run = first if first.run is not None else second
    if run.low is None or run.high is None or run.run is None or not run.run.whole:
        return None
    value = first.value - second.value
    if run is first:
        return ScoreDifference(value, run.low - second.value, run.high - second.value, "published")
    return ScoreDifference(value, first.value - run.high, first.value - run.low, "published")


def _intervals(first: Cell, second: Cell) -> ScoreDifference | None:
    bounds = (first.low, first.high, second.low, second.high)
    if any(bound is None for bound in bounds):
        return None
    low, high, other_low, other_high = (float(bound or 0.0) for bound in bounds)
    error = np.hypot(high - low, other_high - other_low) / 2
    value = first.value - second.value
    return ScoreDifference(value, value - error, value + error, "intervals")


def _paired(first: Run, second: Run) -> ScoreDifference | None:
    mine, other = read_item_scores(first.folder), read_item_scores(second.folder)
    parts, others = _parts(first, mine), _parts(second, other)
    shared = sorted(parts.keys() & others.keys())
    if len(shared) < 2:
        return None
    over = np.array([[parts[i][0], others[i][0]] for i in shared])
    under = np.array([[parts[i][1], others[i][1]] for i in shared])
    scales = [s for s in (_scale(first, parts), _scale(second, others)) if s is not None]
    if scales and not np.allclose(scales, scales[0], rtol=SAME_SCALE):
        return None  # the metric is not a ratio of the item scores
    scale = scales[0] if scales else 1.0
    whole = scale * _ratio(over.sum(axis=0), under.sum(axis=0))
    random = np.random.default_rng(0)
    drawn: list[np.ndarray] = []
    rows = max(1, INDICES_AT_ONCE // len(shared))
    for start in range(0, DRAWS, rows):
        picked = random.integers(0, len(shared), (min(rows, DRAWS - start), len(shared)))
        drawn.append(_ratio(over[picked].sum(axis=1), under[picked].sum(axis=1)))
    found = scale * np.concatenate(drawn)
    found = found[np.isfinite(found).all(axis=-1)]
    low, high = np.percentile(found[:, 0] - found[:, 1], [2.5, 97.5])
    value = float(whole[0] - whole[1])
    return ScoreDifference(value, float(low), float(high), "paired", len(shared))


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(over / under)


def _parts(run: Run, item_scores: Sequence[ItemScore]) -> dict[str, tuple[float, float]]:
    """Return by item what it adds to the numerator and denominator of the main metric.

    These are errors and reference words if the item score counts them, else its value and 1. Items
    without a value are left out, unless the metric counts them as wrong (its `count` is that of
    all items).
    """
    counts_all = run.main.count == len(item_scores)
    parts = {}
    for item_score in item_scores:
        if "length" in item_score.details:
            errors = sum(float(item_score.details.get(kind, 0)) for kind in EDITS)
            parts[item_score.item_id] = (errors, float(item_score.details["length"]))
        elif item_score.value is not None or counts_all:
            parts[item_score.item_id] = (item_score.value or 0.0, 1.0)
    return parts


def _scale(run: Run, parts: Mapping[str, tuple[float, float]]) -> float | None:
    """Return the factor from the ratio of the parts to the metric's unit; None for a ratio of 0."""
    over = sum(part[0] for part in parts.values())
    under = sum(part[1] for part in parts.values())
    return run.main.value * under / over if over and run.main.value else None
