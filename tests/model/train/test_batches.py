"""Batches for training loops of users: those of the trainings, from a corpus folder."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
import torch

from tests.model.data.made import conversation_row, segment_row, write
from wavemill.model.data.clips import ClipSettings
from wavemill.model.data.source import DataError
from wavemill.model.train.batches import clip_batches, training_batches
from wavemill.model.train.llm import LlmTraining
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import SftRecipe


def test_they_are_those_of_a_training(tmp_path: Path) -> None:
    place = write(tmp_path, "sft", [[conversation_row(i) for i in range(9)]])
    recipe = SftRecipe.model_validate({"data": {"positions": 64}, "loop": {"seed": 3}})
    job = LlmTraining(str(place), recipe, tmp_path / "run")
    with (
        job.data(Ranks(1, 2)).batches as wanted,
        training_batches(place, positions=64, seed=3, rank=1, world=2) as found,
    ):
        for ours, theirs in islice(zip(found, wanted, strict=True), 5):
            assert ours.ids == theirs.ids
            assert torch.equal(ours.text_labels, theirs.text_labels)
            assert ours.units <= 64


def test_they_resume(tmp_path: Path) -> None:
    place = write(tmp_path, "pretrain", [[segment_row(r, i) for r in range(3) for i in range(4)]])
    (tmp_path / "texts.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    texts = [tmp_path / "texts.jsonl"]
    with training_batches(place, "pretrain", texts=texts, positions=64) as first:
        list(islice(first, 3))
        state = json.loads(json.dumps(first.state()))
        wanted = next(first)
    with training_batches(place, "pretrain", texts=texts, positions=64) as second:
        second.restore(state)
        assert next(second).ids == wanted.ids


def test_clips_have_audio_words_and_tokens(tmp_path: Path) -> None:
    place = write(tmp_path, "pretrain", [[segment_row(r, 0) for r in range(4)]])
    with clip_batches(place, 24_000, settings=ClipSettings(batch_clips=2)) as batches:
        batch = next(batches)
    assert batch.audio.shape == (2, batch.tokens.shape[1] * 24_000 * 80 // 1000)
    assert all(text.startswith("word") for text in batch.texts)


def test_a_folder_without_a_corpus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no corpus 'sft'"):
        training_batches(tmp_path)
