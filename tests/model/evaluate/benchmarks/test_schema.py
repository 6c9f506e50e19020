"""The benchmarks that come with the package, against the published tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.model.conformance import FOLDER as FIXTURES
from tests.model.conformance import needs_fixtures
from wavemill.model.evaluate.benchmarks.readers import READERS
from wavemill.model.evaluate.benchmarks.schema import (
    FOLDER,
    Benchmark,
    BenchmarkError,
    benchmark_named,
    published_benchmarks,
    read_benchmark,
)

AVERAGES = {
    "voicebench-avg": {"Kimi-Audio": 76.93, "Step-Audio-chat": 48.86},
    "speech-conversation-avg": {"Kimi-Audio": 3.90, "GPT-4o": 4.06},
}


@needs_fixtures
def test_every_row_of_the_tables_is_a_benchmark_with_its_scores() -> None:
    rows = json.loads(
        (FIXTURES / "evaluation/benchmarks/benchmarks.json").read_text(encoding="utf-8")
    )
    known = published_benchmarks()
    assert set(known) == {row["id"] for row in rows["benchmarks"]} | {"esc-50"}
    for row in rows["benchmarks"]:
        found = known[row["id"]]
        assert found.published.scores == row["published_scores"]
        assert found.published.table == row["report_table"]
        assert found.metric.better == row["better"]
        assert found.data.items == row["items"]["count"]
        prompt = row["kimi_audio_prompt"]
        if prompt is not None and "{" not in found.prompt:
            assert found.prompt == prompt


def test_files_are_named_as_what_they_hold_and_survive_being_written() -> None:
    for path in sorted(FOLDER.glob("*.yaml")):
        benchmark = read_benchmark(path)
        assert benchmark.name == path.stem
        assert Benchmark.model_validate(yaml.safe_load(benchmark.dumped())) == benchmark
        assert benchmark.data.prepared_by in {None, *READERS}


@pytest.mark.parametrize("name", AVERAGES)
def test_published_means_follow_from_their_parts(name: str) -> None:
    known = published_benchmarks()
    for model, printed in AVERAGES[name].items():
        parts = known[name].mean_of
        values = [known[part].published.scores[model] * factor for part, factor in parts.items()]
        assert sum(values) / len(values) == pytest.approx(printed, abs=0.0051)


def test_an_unknown_name_is_answered_with_names_like_it() -> None:
    with pytest.raises(BenchmarkError, match="librispeech-test-clean"):
        benchmark_named("librispeech-clean")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "asking"}, "task"),
        ({"speed": 3}, "speed"),
        ({"mean_of": {"a": 1.0}}, "aggregates"),
        ({"name": "../x"}, "name"),
    ],
)
def test_a_wrong_file_names_its_field(tmp_path: Path, change: dict[str, object], said: str) -> None:
    values = yaml.safe_load((FOLDER / "meld.yaml").read_text(encoding="utf-8")) | change
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(BenchmarkError, match=said) as caught:
        read_benchmark(path)
    assert str(path) in str(caught.value)
