"""Batches of the LLM for training loops of users: those of its training."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
import torch

import wavemill
from tests.model.data.made import conversation_row, segment_row, write
from wavemill.model.train.llm import LlmTraining
from wavemill.model.train.ranks import Ranks
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.recipes import llm_recipe


def test_they_are_those_of_a_training(tmp_path: Path) -> None:
    place = write(tmp_path, "sft", [[conversation_row(i) for i in range(9)]])
    recipe = llm_recipe("sft", "tiny", ["data.positions=64", "loop.seed=3"])
    job = LlmTraining(str(place), recipe, tmp_path / "run")
    with (
        job.data(Ranks(1, 2)).batches as wanted,
        wavemill.batches(
            place, settings={"data.positions": 64, "loop.seed": 3}, rank=1, world=2
        ) as found,
    ):
        for ours, theirs in islice(zip(found, wanted, strict=True), 5):
            assert ours.ids == theirs.ids
            assert torch.equal(ours.text_labels, theirs.text_labels)
            assert ours.units <= 64


def test_they_resume(tmp_path: Path) -> None:
    place = write(tmp_path, "pretrain", [[segment_row(r, i) for r in range(3) for i in range(4)]])
    (tmp_path / "texts.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n', encoding="utf-8")
    texts, small = [tmp_path / "texts.jsonl"], {"data.positions": 64}
    with wavemill.batches(place, "pretrain", settings=small, texts=texts) as first:
        list(islice(first, 3))
        state = json.loads(json.dumps(first.state()))
        wanted = next(first)
    with wavemill.batches(place, "pretrain", settings=small, texts=texts) as second:
        second.restore(state)
        assert next(second).ids == wanted.ids


def test_a_folder_without_a_corpus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no corpus 'sft'"):
        wavemill.batches(tmp_path)
