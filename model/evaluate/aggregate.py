"""One number over several benchmarks."""

from __future__ import annotations

import math
from collections.abc import Mapping


def mean_of(values: Mapping[str, float], factors: Mapping[str, float]) -> float:
    """Return the mean of values times their factors, NaN where one is missing.

    VoiceBench: ratings of 1 to 5 times 20 and percentages times 1
    (aggregation/aggregation_rules.json).
    """
    weighted = [values.get(name, math.nan) * factor for name, factor in factors.items()]
    return math.fsum(weighted) / len(weighted)
