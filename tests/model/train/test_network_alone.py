"""The export of a sharded training read the whole corpus again, to build a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.data.made import conversation_row, segment_row, write
from wavemill.model.data.files import DataFile
from wavemill.model.train.llm import LlmTraining
from wavemill.model.train.loop import Job
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import SftRecipe
from wavemill.model.train.speech.recipe import DetokenizerRecipe, TokenizerRecipe
from wavemill.model.train.speech.setup import DetokenizerTraining, TokenizerTraining

STAGES = DetokenizerRecipe()


@pytest.mark.parametrize("name", ["sft", "tokenizer", "flow", "vocoder"])
def test_a_learner_is_built_without_reading_rows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(write(tmp_path, "sft", [[conversation_row(0)]]))
    write(tmp_path, "pretrain", [[segment_row(0, 0)]])
    job: Job = {
        "sft": LlmTraining(place, SftRecipe(), tmp_path),
        "tokenizer": TokenizerTraining(place, TokenizerRecipe(), tmp_path),
        "flow": DetokenizerTraining(place, STAGES.flow, tmp_path, "flow", "tiny"),
        "vocoder": DetokenizerTraining(place, STAGES.vocoder, tmp_path, "vocoder", "tiny"),
    }[name]

    def rows(*_: object) -> None:
        raise AssertionError("reads rows")

    monkeypatch.setattr(DataFile, "rows", rows)
    assert job.learner().modules()
    with pytest.raises(AssertionError, match="reads rows"):
        next(job.data(Ranks()).batches)
