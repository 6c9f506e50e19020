"""Batches of clips for training loops of users, from a corpus folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.data.made import segment_row, write
from wavemill.model.data.clips import ClipSettings
from wavemill.model.data.source import DataError
from wavemill.model.train.batches import clip_batches


def test_clips_have_audio_words_and_tokens(tmp_path: Path) -> None:
    place = write(tmp_path, "pretrain", [[segment_row(r, 0) for r in range(4)]])
    with clip_batches(place, 24_000, settings=ClipSettings(batch_clips=2)) as batches:
        batch = next(batches)
    assert batch.audio.shape == (2, batch.tokens.shape[1] * 24_000 * 80 // 1000)
    assert all(text.startswith("word") for text in batch.texts)


def test_a_folder_without_a_corpus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no corpus 'pretrain'"):
        clip_batches(tmp_path)
