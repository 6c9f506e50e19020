"""Answers in parts: what is there stays, and the newest row of an item counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavemill.model.evaluate.runs.answers import Answers, Row

ROWS = st.builds(
    Row,
    item_id=st.sampled_from("abcdef"),
    answer=st.none() | st.text(max_size=5),
    error=st.none() | st.text(max_size=5),
    speech=st.none() | st.binary(max_size=5),
)


@settings(deadline=None, max_examples=20)
@given(parts=st.lists(st.lists(ROWS, max_size=4, unique_by=lambda r: r.item_id), max_size=5))
def test_the_newest_row_of_an_item_counts(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[Row]]
) -> None:
    answers = Answers(tmp_path_factory.mktemp("run"))
    newest: dict[str, Row] = {}
    for rows in parts:
        answers.append(rows)
        newest |= {row.item_id: row for row in rows}
    assert {row.item_id: row for row in answers.rows(speech=True)} == newest
    assert len(list(answers.rows())) == len(newest)
    assert answers.states() == {i: row.error is None for i, row in newest.items()}


def test_half_of_a_part_is_none(tmp_path: Path) -> None:
    answers = Answers(tmp_path)
    answers.append([Row("a", answer="x")])
    (tmp_path / "answers/.000002-00.parquet.tmp").write_bytes(b"PAR1 killed here")
    answers.append([Row("b", answer="y")])
    assert answers.states() == {"a": True, "b": True}
