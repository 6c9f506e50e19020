"""Intervals and averages."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavemill.model.evaluate.metrics import interval, mean, mean_of
from wavemill.model.evaluate.scoring import ItemScore


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_interval_lies_within_the_values_and_repeats(values: list[float]) -> None:
    ones = [1.0] * len(values)
    bounds = interval(values, ones, draws=100)
    assert bounds == interval(values, ones, draws=100)
    assert bounds is not None
    assert min(values) - 1e-9 <= bounds[0] <= bounds[1] <= max(values) + 1e-9


def test_interval_shrinks_as_the_normal_one() -> None:
    """The 95 % interval of a share of one half over n items is 2 * 1.96 * 0.5 / sqrt(n) wide."""
    for count in (400, 1600):
        bounds = interval([0.0, 1.0] * (count // 2), [1.0] * count)
        assert bounds is not None
        assert bounds[1] - bounds[0] == pytest.approx(1.96 / math.sqrt(count), rel=0.15)


def test_interval_of_too_little_is_none() -> None:
    assert interval([], []) is None
    assert interval([1.0], [1.0]) is None
    assert interval([0.0, 0.0], [0.0, 0.0]) is None


def test_unscored_items_are_counted_and_left_out() -> None:
    item_scores = [ItemScore("a", 1.0), ItemScore("b", None, "?"), ItemScore("c", 0.0)]
    metric = mean("accuracy", item_scores)
    assert (metric.value, metric.count, metric.unscored) == (50, 2, 1)
    assert math.isnan(mean("accuracy", []).value)


def test_mean_of_benchmarks() -> None:
    assert mean_of({"a": 4.0, "b": 50.0}, {"a": 20.0, "b": 1.0}) == 65
    assert math.isnan(mean_of({"a": 4.0}, {"a": 20.0, "b": 1.0}))
