"""A stream that finds nothing in its files was the end of the whole training."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.model.data.made import conversation_row, write
from tests.model.data.test_llm import batches, planner
from wavemill.model.data.planning import Cursor, Walk


def test_a_broken_file_of_a_stream_is_passed_over(tmp_path: Path) -> None:
    place = write(tmp_path, "sft", [[conversation_row(i)] for i in range(2)])
    (place / "corpus" / "sft" / "001.parquet").write_bytes(b"PAR1 nothing PAR1")
    source = batches(planner(place), streams=2)
    assert {name for _ in range(6) for name in next(source).ids} == {"s0"}
    assert source.problems() == {"corrupted_file": 1}


def test_a_file_without_anything_to_learn_is_passed_over(tmp_path: Path) -> None:
    files = [[conversation_row(0)], [conversation_row(1, answer="x" * 500)]]
    source = batches(planner(write(tmp_path, "sft", files)), streams=2)
    assert {name for _ in range(6) for name in next(source).ids} == {"s0"}


def test_fewer_conversations_than_streams(tmp_path: Path) -> None:
    place = write(tmp_path, "sft", [[conversation_row(i) for i in range(3)]])
    source = batches(planner(place), streams=8)
    assert {name for _ in range(16) for name in next(source).ids} == {"s0", "s1", "s2"}


class Number(int):
    next_row = property(lambda self: self + 1)
    nbytes = 1


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=4).filter(any),
    st.integers(1, 9),
    st.integers(0, 8),
    st.integers(0, 12),
)
def test_a_walk_goes_on_from_any_place(
    counts: list[int], streams: int, stream: int, taken: int
) -> None:
    walk = Walk(
        "there", len(counts), lambda file, row: map(Number, range(row, counts[file])),
        0, stream % streams, streams,
    )  # fmt: skip
    whole = walk.entries(Cursor())
    behind = Cursor()
    for _ in range(taken):
        _, behind = next(whole)
    again = walk.entries(behind)
    assert [next(whole) for _ in range(5)] == [next(again) for _ in range(5)]
