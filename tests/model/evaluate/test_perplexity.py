"""Perplexity by task and stream."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests.model.data.made import conversation_row, segment_row, write
from wavemill.model.data.source import DataError
from wavemill.model.evaluate.perplexity import corpus_perplexity
from wavemill.model.llm.config import preset
from wavemill.model.llm.network import AudioLlm
from wavemill.model.tokenizer.acoustic import AcousticEncoder
from wavemill.model.tokenizer.config import presets
from wavemill.model.train.llm import LearningLlm
from wavemill.model.train.llm_output import export_llm


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows nothing: its heads score every id alike."""
    torch.manual_seed(0)
    network = LearningLlm(AudioLlm(preset("tiny")), AcousticEncoder(presets("tiny")[1]))
    for head in (network.llm.lm_head, network.llm.mimo_output):
        torch.nn.init.zeros_(head.weight)
    folder = tmp_path_factory.mktemp("run") / "model"
    export_llm(network.llm, network.acoustic, folder, None, None)
    return folder


def metadata_of(codes: int = 2048) -> dict[str, str]:
    return {"semantic_tokenizer": "kmeans x", "semantic_vocab_size": str(codes)}


def test_one_who_knows_nothing_hesitates_among_all_ids(model: Path, tmp_path: Path) -> None:
    rows = [conversation_row(i, answer="ab", split="test" if i else "train") for i in range(4)]
    place = write(tmp_path, "sft", [rows], metadata=metadata_of())
    found = corpus_perplexity(model, str(place), "sft", "test")
    assert [(one.task, one.stream, one.tokens) for one in found] == [
        ("asr", "text", 9),  # three times "ab" and its end
        ("", "text", 9),
    ]
    for one in found:
        assert one.nats == pytest.approx(math.log(2368), rel=1e-4)
        assert one.value == pytest.approx(2368, rel=1e-3)
    assert corpus_perplexity(model, str(place), "sft", "test", documents=1)[0].tokens == 3
    with pytest.raises(DataError, match="nothing there to learn from"):
        corpus_perplexity(model, str(place), "sft", "validation")


def test_tasks_of_pretraining_are_told_apart(model: Path, tmp_path: Path) -> None:
    rows = [segment_row(r, i, split="test") for r in range(8) for i in range(2)]
    place = write(tmp_path, "pretrain", [rows], metadata=metadata_of())
    found = {
        (one.task, one.stream) for one in corpus_perplexity(model, str(place), "pretrain", "test")
    }
    assert {("asr", "text"), ("tts", "audio"), ("audio_to_both", "text"),
            ("audio_to_both", "audio"), ("", "audio")} <= found  # fmt: skip


def test_another_codebook_is_refused(model: Path, tmp_path: Path) -> None:
    place = write(tmp_path, "sft", [[conversation_row(0, split="test")]], metadata=metadata_of(64))
    with pytest.raises(DataError, match="codebook of 2048 codes, the corpus one of 64"):
        corpus_perplexity(model, str(place), "sft", "test")
