"""From items to the numbers that are published: per subset, and over benchmarks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from model.evaluate.scoring import Answered, Mode, Scorer, Scores

NOT_SCORED = "sentiment"
"""A subset that the published toolkit leaves out, in multiple choice alone."""


def by_subset(
    scorer: Scorer, answered: Sequence[Answered], mode: Mode = "default"
) -> dict[str, Scores]:
    """Return the scores of each `details["subset"]`; nothing is averaged over subsets.

    Mode `compat` leaves out a subset called "sentiment", as published.
    """
    groups: dict[str, list[Answered]] = {}
    for item in answered:
        groups.setdefault(str(item.details.get("subset", "")), []).append(item)
    return {
        subset: scorer.score(items)
        for subset, items in groups.items()
        if mode == "default" or subset != NOT_SCORED
    }


def mean_of(values: Mapping[str, float], factors: Mapping[str, float]) -> float:
    """Return the mean of values times their factors, NaN where one is missing.

    VoiceBench: ratings of 1 to 5 times 20 and percentages times 1
    (aggregation/aggregation_rules.json).
    """
    return math.fsum(values.get(name, math.nan) * factor for name, factor in factors.items()) / len(
        factors
    )
