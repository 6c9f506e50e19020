"""Documents in bins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavemill.model.data.llm import packed


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(50, 90), st.integers(0, 9))
def test_every_item_once_within_the_limit_in_a_seeded_order(
    lengths: list[int], limit: int, seed: int
) -> None:
    bins = packed(lengths, limit, np.random.default_rng(seed))
    assert sorted(item for one in bins for item in one) == list(range(len(lengths)))
    assert all(0 < sum(lengths[i] for i in one) <= limit for one in bins)
    assert bins == packed(lengths, limit, np.random.default_rng(seed))
    # No two bins could have been one: at most one of them is filled to less than a half.
    assert sum(2 * sum(lengths[i] for i in one) < limit for one in bins) <= 1


def test_an_item_above_the_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="above the limit"):
        packed([3, 11], 10, np.random.default_rng(0))


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(0, 99))
def test_items_go_where_they_fit_first(lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    bins: list[list[int]] = []
    for item in rng.permutation(len(lengths)).tolist():
        fitting = (b for b in bins if sum(lengths[i] for i in b) + lengths[item] <= 50)
        held = next(fitting, None)
        if held is None:
            bins.append([item])
        else:
            held.append(item)
    wanted = [bins[i] for i in rng.permutation(len(bins)).tolist()]
    assert packed(lengths, 50, np.random.default_rng(seed)) == wanted
