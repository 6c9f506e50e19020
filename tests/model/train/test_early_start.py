"""A fine-tuning laid out the whole corpus before its first step: two hours at a million clips."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.data.made import conversation_row, write
from wavemill.model.data import planning
from wavemill.model.data.planning import ConversationPlanner
from wavemill.model.train import llm_data
from wavemill.model.train.llm import LlmTraining
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import SftRecipe


def test_the_length_of_a_large_corpus_is_estimated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [conversation_row(i) for i in range(240)]
    corpus = write(tmp_path, "sft", [rows[i : i + 12] for i in range(0, 240, 12)])
    recipe = SftRecipe.model_validate(
        {"epochs": 2, "loop": {"evaluation": {"batches": 0, "examples": 0}}}
    )
    job = LlmTraining(str(corpus), recipe, tmp_path / "run")
    exact = job.data(Ranks()).total_units
    laid_out = 0
    plain = ConversationPlanner._document

    def counted(self: ConversationPlanner, *arguments: object) -> object:
        nonlocal laid_out
        laid_out += 1
        return plain(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ConversationPlanner, "_document", counted)
    monkeypatch.setattr(planning, "SAMPLED", 48)
    monkeypatch.setattr(llm_data, "COUNTED_ROWS", 100)
    about = job.data(Ranks()).total_units
    assert 0 < laid_out <= 48
    assert about == pytest.approx(exact, rel=0.1)
    assert about == job.data(Ranks()).total_units
