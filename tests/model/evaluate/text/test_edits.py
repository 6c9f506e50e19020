"""Edits between two rows of tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rapidfuzz", reason="the extra `evaluate` is not installed")

from wavemill.model.evaluate.text.edits import edits

ROWS = st.lists(st.sampled_from("abc"), max_size=8)


def distance(one: list[str], other: list[str]) -> int:
    """Return the edit distance by the textbook recurrence."""
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, right in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1]


def test_edits_are_counted_by_kind_and_shown() -> None:
    found = edits(["the", "cat", "sat", "on", "mat"], ["a", "the", "dog", "sat", "mat"])
    assert (found.substitutions, found.deletions, found.insertions) == (1, 1, 1)
    assert (found.errors, found.length) == (3, 5)
    assert found.alignment == "{+a+} the [cat>dog] sat {-on-} mat"
    assert edits(list("你好吗"), list("你坏吗"), "").alignment == "你[好>坏]吗"


def test_nothing_to_compare() -> None:
    assert edits([], []).errors == 0
    assert edits([], ["a"]).insertions == 1


@given(ROWS, ROWS)
def test_edits_are_the_fewest(one: list[str], other: list[str]) -> None:
    found = edits(one, other)
    assert found.errors == distance(one, other)
    assert len(one) - found.deletions + found.insertions == len(other)
