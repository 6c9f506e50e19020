"""Semantic tokens that the codebook does not have became text ids, or ids beyond the network."""

from __future__ import annotations

from pathlib import Path

from tests.model.data.made import CODES, conversation_row, segment_row, write
from wavemill.model.data.corpus import Corpus


def test_rows_with_them_are_told_and_passed_over(tmp_path: Path) -> None:
    rows = [segment_row(0, i) for i in range(3)]
    rows[0]["semantic_tokens"][1] = -1
    rows[1]["semantic_tokens"][1] = CODES
    corpus = Corpus.open(str(write(tmp_path, "pretrain", [rows])), "pretrain")
    assert [one.segment_id for one in corpus.segments(0)] == ["r0-2"]
    assert corpus.problems.counts == {"no_such_semantic_token": 2}
    quick = Corpus(corpus.files, audio=False)
    assert [one.segment_id for one in quick.segments(0)] == ["r0-2"]
    said = conversation_row(0)
    said["messages"][1]["semantic_tokens"][0] = CODES
    corpus = Corpus.open(str(write(tmp_path, "sft", [[said, conversation_row(1)]])), "sft")
    assert [one.id for one in corpus.conversations(0)] == ["s1"]
