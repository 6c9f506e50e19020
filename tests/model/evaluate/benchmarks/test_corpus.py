"""A split of a corpus as a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wavemill.model.evaluate.benchmarks.readers import corpus
from wavemill.model.evaluate.benchmarks.readers.layout import SourceError
from wavemill.pipeline.corpora import sft

Row = dict[str, Any]
EMPTY = {"text": None, "audio": None, "semantic_tokens": None}


def row(
    name: str, split: str | None, task: str, answer: str, language: str = "en"
) -> dict[str, Any]:
    parts = [
        {"role": "user", "kind": "text", "text": f"Do {task}."},
        {"role": "user", "kind": "audio", "audio": {"bytes": name.encode(), "path": "x.flac"}},
        {"role": "assistant", "kind": "text", "text": answer},
    ]
    return {
        "sample_id": name,
        "recording_id": f"r{name}",
        "task": task,
        "source": "x.wav",
        "speaker": f"speaker of {name}",
        "language": language,
        "split": split,
        "messages": [EMPTY | part for part in parts],
        "metadata": "{}",
        "lineage_id": "l",
    }


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    folder = tmp_path / "work/corpus/sft"
    folder.mkdir(parents=True)
    first = [
        row("a", "test", "asr", "one"),
        row("b", "train", "asr", "two"),
        row("c", "test", "ser", "happy"),
    ]
    second = [
        row("d", "test", "asr", "三", "zh"),
        row("e", "test", "ser", "angry"),
        row("f", None, "aqa", "a dog"),
    ]
    for name, rows in (("1", first), ("2", second)):
        pq.write_table(pa.Table.from_pylist(rows, sft.SCHEMA), folder / f"{name}.parquet")
    return tmp_path / "work"


def test_rows_of_a_split_and_a_task_are_items(workdir: Path) -> None:
    found = list(corpus.read(str(workdir), "test", "asr"))
    assert [(i.item_id, i.audio, i.references, i.language) for i in found] == [
        ("a", b"a", ("one",), "en"),
        ("d", b"d", ("三",), "zh"),
    ]
    assert found[0].question == "Do asr."
    about = (found[0].speaker, found[0].source, found[0].recording_id)
    assert about == ("speaker of a", "x.wav", "ra")
    assert [item.item_id for item in corpus.read(str(workdir), "all", "asr")] == ["a", "b", "d"]
    assert [item.item_id for item in corpus.read(str(workdir), "all", "aqa")] == ["f"]


def test_the_task_decides_how_answers_are_scored(workdir: Path) -> None:
    spoken = corpus.benchmark_of(str(workdir), "test", "asr", "mine")
    assert (spoken.task, spoken.language, spoken.data.items) == ("asr", None, 2)
    feelings = corpus.benchmark_of(str(workdir), "test", "ser", "mine")
    assert (feelings.task, feelings.options) == ("classification", ("angry", "happy"))
    asked = corpus.benchmark_of(str(workdir), "all", "aqa", "mine")
    assert asked.scorer is not None
    assert asked.scorer.name == "reference_qa"


def test_what_is_not_there_is_said_with_what_is(workdir: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"2 of asr in test, .*splits\.test"):
        corpus.benchmark_of(str(workdir), "validation", "asr", "mine")
    with pytest.raises(SourceError, match="has no corpus 'sft'"):
        corpus.benchmark_of(str(tmp_path / "none"), "test", "asr", "mine")


def test_a_damaged_part_is_no_smaller_benchmark(workdir: Path) -> None:
    (workdir / "corpus/sft/2.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(SourceError, match=r"2\.parquet: corrupted_file"):
        list(corpus.read(str(workdir), "test", "asr"))


def test_a_corpus_of_before_has_neither_speaker_nor_recording(workdir: Path) -> None:
    for path in (workdir / "corpus/sft").iterdir():
        pq.write_table(pq.read_table(path).drop_columns(["recording_id", "speaker"]), path)
    found = list(corpus.read(str(workdir), "test", "asr"))
    assert [(item.speaker, item.recording_id) for item in found] == [(None, None)] * 2


def test_questions_with_few_different_answers_are_a_closed_set(tmp_path: Path) -> None:
    folder = tmp_path / "work/corpus/sft"
    folder.mkdir(parents=True)
    rows = [row(str(n), "test", "chat", f"The answer is {'six' if n % 2 else 'two'}.")
            for n in range(8)]  # fmt: skip
    for one in rows:
        del one["messages"][0]
    longer = row("long", "test", "chat", "The answer is nine.")
    pq.write_table(pa.Table.from_pylist([*rows, longer], sft.SCHEMA), folder / "1.parquet")
    asked = corpus.benchmark_of(str(tmp_path / "work"), "test", "chat", "mine")
    assert asked.task == "classification"
    assert asked.options == ("The answer is six.", "The answer is two.")
    assert asked.data.items == 8
