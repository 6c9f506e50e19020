"""Labelled items through the whole pipeline: the sft corpus beside the pre-training corpus."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import soundfile

from tests.pipeline.test_curation import RECORDINGS, stages_to_do, wavemill
from wavemill.pipeline.corpora import sft

LABELS: list[dict[str, Any]] = [
    {"task": "asr", "text": "where to now", "language": "en", "speaker": "ann", "license": "CC0"},
    {"task": "aqa", "question": "有几个人在说话？", "answer": "一个"},
    {"task": "aac", "answer": "A person talks while a machine hums.", "room": 3},
    {"task": "ser", "answer": "neutral"},
    {"task": "sec", "answer": "speech", "speaker": "ann"},
    {"task": "asc", "answer": "office"},
]
SPLITS = ("--set", "splits.test=0.5", "--set", "splits.validation=0.5")
ASR_TOO = ("--set", "sft.asr_from_pretrain=true")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of three labelled recordings, two items each, and of a raw one."""
    folder = tmp_path_factory.mktemp("labelled")
    samples, rate = soundfile.read(RECORDINGS / "clean_dialogue.flac")
    soundfile.write(folder / "raw.flac", samples[: 12 * rate], rate)
    samples, rate = soundfile.read(RECORDINGS / "low_level_with_hum.flac")
    lines: list[dict[str, Any]] = [{"audio": "raw.flac", "speaker": "bob"}]
    for number, label in enumerate(LABELS):
        name = f"labelled{number % 3}.flac"
        soundfile.write(folder / name, samples[number % 3 * rate :][: 3 * rate], rate)
        offset = 1.5 * (number // 3)
        lines.append({"audio": name, "offset": offset, "duration": 1.2, **label})
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    out = folder / "out"
    wavemill("curate", manifest, "--out", out, "--executor", "inline", *SPLITS, *ASR_TOO)
    return out


def rows(out: Path, corpus: str = "sft") -> list[dict[str, Any]]:
    return list(pq.read_table(out / "corpus" / corpus).to_pylist())


def test_every_item_is_a_conversation(out: Path) -> None:
    conversations = [row for row in rows(out) if not row["source"].endswith("raw.flac")]
    found = {row["task"]: row["messages"] for row in conversations}
    assert len(conversations) == len(LABELS)
    for label in LABELS:
        user, audio, assistant = found[label["task"]]
        assert assistant["text"] == label.get("answer", label.get("text"))
        assert label.get("question", "") in user["text"]
        samples, rate = soundfile.read(io.BytesIO(audio["audio"]["bytes"]))
        assert abs(len(samples) / rate - 1.2) < 0.002
        assert len(audio["semantic_tokens"]) == 15
    assert {row["license"] for row in conversations if row["task"] == "asr"} == {"CC0"}
    assert [json.loads(row["metadata"]) for row in conversations if row["task"] == "aac"] == [
        {"room": 3}
    ]


def test_transcribed_segments_are_samples_too(out: Path) -> None:
    segments = {r["segment_id"]: r for r in rows(out, "pretrain") if r["text_source"] == "asr"}
    samples = {r["sample_id"]: r for r in rows(out) if r["source"].endswith("raw.flac")}
    assert samples.keys() == segments.keys() != set()
    for key, sample in samples.items():
        assert sample["messages"][2]["text"] == segments[key]["text"]
        assert sample["messages"][1]["audio"] == segments[key]["audio"]


def test_only_transcripts_are_in_both_corpora(out: Path) -> None:
    labelled = [r for r in rows(out, "pretrain") if r["text_source"] == "manifest"]
    assert [row["text"] for row in labelled] == ["where to now"]


def test_no_recording_and_no_speaker_is_in_two_splits(out: Path) -> None:
    splits: dict[str, set[str]] = {}
    for row in rows(out):
        splits.setdefault(row["source"], set()).add(row["split"])
    assert set.union(*splits.values()) <= {"test", "validation"}
    assert all(len(found) == 1 for found in splits.values())
    of_ann = [row for row in rows(out) if row["task"] == "sec" or row["license"] == "CC0"]
    assert len({row["source"] for row in of_ann}) == 2
    assert len({row["split"] for row in of_ann}) == 1


def test_the_file_is_as_designed(out: Path) -> None:
    (first, *_) = (out / "corpus" / "sft").glob("*.parquet")
    assert pq.read_schema(first).remove_metadata().equals(sft.SCHEMA.remove_metadata())
    metadata = pq.read_metadata(first).metadata
    assert metadata[b"semantic_tokenizer"]
    assert metadata[b"semantic_vocab_size"]


def test_another_seed_recomputes_the_conversations_only(out: Path) -> None:
    manifest = out.parent / "manifest.jsonl"
    arguments = ("plan", manifest, "--out", out, *SPLITS, *ASR_TOO, "--set", "sft.seed=1")
    todo = stages_to_do(wavemill(*arguments).stdout)
    assert {stage for stage, count in todo.items() if count} == {"sft"}
