"""A micro-batch, or held-out data, whose audio cannot be decoded ended the training."""

from __future__ import annotations

import io
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.model.data.made import conversation_row, write
from tests.model.data.test_llm import batches, planner
from tests.model.train.test_sharding import training
from wavemill.model.data.source import DataError
from wavemill.model.train.loop import work
from wavemill.model.train.ranks import Ranks

ALONE = "y" * 60  # as an answer: a micro-batch has room for no other


def test_a_micro_batch_that_cannot_be_heard_teaches_nothing(tmp_path: Path) -> None:
    rows = [conversation_row(i, answer=ALONE) for i in range(4)]
    rows[2]["messages"][1]["audio"] = {"bytes": b"no flac", "path": "x"}
    source = batches(planner(write(tmp_path, "sft", [rows])))
    learnt = {batch.ids: bool(batch.text_loss_mask.any()) for batch in (next(source) for _ in rows)}
    assert learnt == {("s0",): True, ("s1",): True, ("s2",): False, ("s3",): True}
    assert source.problems() == {"undecodable_audio": 1}


def test_where_nothing_can_be_heard_there_is_an_end(tmp_path: Path) -> None:
    rows = [conversation_row(i, answer=ALONE) for i in range(2)]
    for row in rows:
        row["messages"][1]["audio"] = {"bytes": b"no flac", "path": "x"}
    source = batches(planner(write(tmp_path, "sft", [rows])))
    with pytest.raises(DataError, match="no audio can be decoded of s"):
        list(islice(source, 100))


def test_audio_that_is_not_there_is_no_silence(tmp_path: Path) -> None:
    rows = [conversation_row(i) for i in range(3)]
    for row, samples in zip(rows, (0, 1280), strict=False):
        file = io.BytesIO()
        soundfile.write(file, np.zeros(samples), 16_000, format="WAV")
        row["messages"][1]["audio"] = {"bytes": file.getvalue(), "path": "x"}
    source = batches(planner(write(tmp_path, "sft", [rows])))
    assert next(source).ids == ("s2",)
    assert source.problems() == {"undecodable_audio": 2}


def test_held_out_audio_that_cannot_be_heard_is_left_out(tmp_path: Path) -> None:
    rows = [conversation_row(i, split="validation" if i < 3 else None) for i in range(6)]
    rows[0]["messages"][1]["audio"] = {"bytes": b"no flac", "path": "x"}
    corpus = write(tmp_path / "work", "sft", [rows])
    data = training(corpus, tmp_path / "run", False).data(Ranks())
    assert [batch.ids for batch in data.held_out] == [("s1", "s2")]
    assert work(training(corpus, tmp_path / "run", False), Ranks()).complete
