"""Batches made ahead of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from wavemill.model.data.source import Batches, DataError, Prefetched


class Counting(Batches[int]):
    def __init__(self, end: int = 10**9) -> None:
        self.at, self.end = 0, end

    def __next__(self) -> int:
        if self.at == self.end:
            raise DataError("the end")
        self.at += 1
        return self.at

    def state(self) -> dict[str, Any]:
        return {"at": self.at}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.at = state["at"]


def test_the_position_is_that_of_what_was_handed_out() -> None:
    ahead = Prefetched(Counting(), ahead=3)
    assert ahead.state() == {"at": 0}
    assert [next(ahead) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert ahead.state() == {"at": 5}
    ahead.restore({"at": 2})
    assert next(ahead) == 3
    ahead.close()


def test_what_goes_wrong_in_the_thread_is_raised() -> None:
    ahead = Prefetched(Counting(end=1))
    assert next(ahead) == 1
    with pytest.raises(DataError, match="the end"):
        next(ahead)
