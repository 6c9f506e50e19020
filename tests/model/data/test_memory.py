"""Windows of all streams filled the memory: `data.memory_gb` bounds them."""

from __future__ import annotations

from pathlib import Path

from tests.model.data.made import conversation_row, write
from wavemill.model.data.corpus import Corpus
from wavemill.model.data.planning import Span
from wavemill.model.train.llm import LlmTraining
from wavemill.model.train.recipe import DataSettings, PretrainRecipe, SftRecipe, shipped


def test_the_bound_makes_windows_smaller() -> None:
    free = DataSettings(streams=960, window_mb=256)
    assert free.window_bytes == 256 << 20
    bound = DataSettings(streams=960, window_mb=256, memory_gb=120)
    assert bound.window_bytes == 64 << 20
    assert DataSettings(streams=2, window_mb=1, memory_gb=64).window_bytes == 1 << 20
    assert "memory_gb" not in free.identity()
    assert bound.identity()["memory_gb"] == 120


def test_the_recipes_of_the_paper_are_bounded() -> None:
    for kind, model in (("pretrain", PretrainRecipe), ("sft", SftRecipe)):
        data = model.model_validate(shipped(kind, "paper")).data
        assert data.memory_gb is not None
        assert 2 * data.streams * data.window_bytes <= data.memory_gb * (1 << 30)


def test_a_bounded_window_counts_what_documents_take(tmp_path: Path) -> None:
    corpus = write(tmp_path, "sft", [[conversation_row(i) for i in range(40)]])
    recipe = SftRecipe.model_validate({"tokens": 1})
    data = LlmTraining(str(corpus), recipe, tmp_path / "run").data_source()
    planner = data.planner(Corpus(data.files), None)
    limit = 120_000
    sizes = {}
    for whole in (False, True):
        documents, _ = planner.window({}, Span(window_bytes=limit, whole=whole))
        last = documents[-1]
        sizes[whole] = sum(d.array_bytes + sum(len(s.data) for s in d.sounds) for d in documents)
        largest = last.array_bytes + sum(len(s.data) for s in last.sounds)
    assert sizes[True] < limit + 2 * largest
    assert sizes[True] < sizes[False]
