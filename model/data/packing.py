"""Documents side by side in batches of bounded length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def packed(lengths: Sequence[int], limit: int, rng: np.random.Generator) -> list[list[int]]:
    """Return bins of item numbers, at most `limit` in each: every item once, in drawn order.

    Items are taken in a drawn order and go where they fit first; then the bins are shuffled, so
    that full ones do not all come first. Raises ValueError for an item longer than the limit.
    """
    bins: list[list[int]] = []
    room = np.zeros(len(lengths), np.int64)  # of each bin
    open_from = 0  # bins before are full enough to be passed over
    shortest = min(lengths, default=0)
    for item in rng.permutation(len(lengths)).tolist():
        length = lengths[item]
        if length > limit:
            raise ValueError(f"item {item} is {length} long, above the limit of {limit}")
        fits = room[open_from : len(bins)] >= length
        at = open_from + int(fits.argmax()) if fits.any() else len(bins)
        if at == len(bins):
            bins.append([])
            room[at] = limit
        bins[at].append(item)
        room[at] -= length
        while open_from < len(bins) and room[open_from] < shortest:
            open_from += 1
    return [bins[i] for i in rng.permutation(len(bins)).tolist()]
