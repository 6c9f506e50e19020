"""Conversations from items and segments in memory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import MemoryUpstream
from wavemill.manifests.recording import Item, Recording, Task
from wavemill.pipeline.corpora import sft
from wavemill.pipeline.corpora.instructions import QUESTION, instructions
from wavemill.pipeline.corpora.sft import SftSettings
from wavemill.stages.segments import segments_of

LABELS: list[dict[str, str]] = [
    {"task": "asr", "text": "where to now", "language": "en", "license": "CC0", "split": "test"},
    {"task": "aqa", "question": "狗叫了几声？", "answer": "两声"},
    {"task": "aac", "answer": "A dog barks in the rain.", "metadata": '{"room": 3}'},
    {"task": "ser", "answer": "happy", "text": "I won!"},
    {"task": "sec", "answer": "dog"},
    {"task": "asc", "answer": "公园"},
]


def labelled(labels: Sequence[dict[str, str]] = LABELS, name: str = "r") -> Recording:
    items = tuple(Item(f"i{n}", n * 160, n * 160 + 160, **given) for n, given in enumerate(labels))
    return Recording(name, "a.flac", 9000, items=items)


def upstream(
    recording: Recording,
    rejected: Sequence[int] = (),
    texts: Sequence[str] = (),
    language: str = "en",
) -> MemoryUpstream:
    """Return the tables of a recording; `texts` are the segments of a raw one."""
    rid = recording.recording_id
    segments: list[dict[str, Any]] = [
        {"segment_id": f"{rid}-0-{n}", "segment_index": n, "track": 0, "start_ms": n, "end_ms": n}
        | {"speaker": "S00", "speech_ms": 1, "overlap_ratio": 0.0, "speaker_similarity": 1.0}
        for n in range(len(texts))
    ]
    if recording.labelled:
        found = segments_of(recording, MemoryUpstream(rid, {}))
        keys = [(s.segment_id, s.item.language if s.item else None) for s in found]
    else:
        keys = [(row["segment_id"], language) for row in segments]
    rows = [
        {"segment_id": key, "language": spoken, "kept": n not in rejected}
        | {"audio": key.encode(), "semantic_tokens": [n, n + 1]}
        for n, (key, spoken) in enumerate(keys)
    ]
    said = [{"segment_id": k, "text": t} for (k, _), t in zip(keys, texts, strict=False)]
    scored = _table(rid, rows)
    tables = {
        "diarize": _table(rid, segments),
        "transcribe": _table(rid, said),
        "score_text": scored,
        "verdict": scored,
        "store_audio": scored.filter(scored["kept"]),
        "tokenize": scored.filter(scored["kept"]),
    }
    return MemoryUpstream(rid, tables)


def _table(recording_id: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([{"recording_id": recording_id, **row} for row in rows])


def conversations(
    recording: Recording, tables: MemoryUpstream, settings: SftSettings | None = None
) -> list[dict[str, Any]]:
    stage = sft.Sft.build(settings or SftSettings(), "cpu")
    return pa.Table.from_batches(stage(recording, tables), schema=sft.SCHEMA).to_pylist()


def instruction(row: dict[str, Any]) -> str:
    return str(row["messages"][0]["text"])


def test_an_item_of_each_task_becomes_a_conversation() -> None:
    recording = labelled()
    rows = conversations(recording, upstream(recording))
    assert [row["task"] for row in rows] == [task.value for task in Task]
    answers = [row["messages"][2]["text"] for row in rows]
    assert answers == ["where to now", "两声", "A dog barks in the rain.", "happy", "dog", "公园"]
    for number, row in enumerate(rows):
        user, audio, assistant = row["messages"]
        assert (user["role"], user["kind"]) == ("user", "text")
        assert (audio["role"], audio["kind"], audio["text"]) == ("user", "audio", None)
        name = row["sample_id"]
        assert audio["audio"] == {"bytes": name.encode(), "path": f"{name}.flac"}
        assert audio["semantic_tokens"] == [number, number + 1]
        assert (assistant["role"], assistant["kind"]) == ("assistant", "text")
        assert user["audio"] is assistant["audio"] is user["semantic_tokens"] is None
        assert (row["source"], row["lineage_id"]) == ("a.flac", "lineage")


def test_instructions_are_of_the_task_in_the_language_of_the_sample() -> None:
    recording = labelled()
    rows = conversations(recording, upstream(recording))
    languages = ["en", "zh", "en", "en", "en", "zh"]
    for row, language in zip(rows, languages, strict=True):
        if row["task"] == Task.AQA:
            assert "狗叫了几声？" in instruction(row)
            filled = instruction(row).replace("狗叫了几声？", QUESTION)
        else:
            filled = instruction(row)
        assert filled in instructions(Task(row["task"]))[language]  # type: ignore[index]


def test_what_the_manifest_says_goes_along() -> None:
    recording = labelled()
    first, _, third, *_ = conversations(recording, upstream(recording))
    assert [first[k] for k in ("language", "license", "split")] == ["en", "CC0", "test"]
    assert (third["license"], third["metadata"]) == (None, '{"room": 3}')


def test_rejected_items_are_left_out() -> None:
    recording = labelled()
    rows = conversations(recording, upstream(recording, rejected=[0, 2]))
    assert [row["task"] for row in rows] == ["aqa", "ser", "sec", "asc"]
    assert conversations(recording, upstream(recording, rejected=range(6))) == []


def test_a_question_is_asked_whatever_the_task() -> None:
    labels = [
        {"task": "ser", "question": "Is she angry?", "answer": "no"},
        {"task": "translation", "question": "Put it into French.", "answer": "oui"},
    ]
    rows = conversations(labelled(labels), upstream(labelled(labels)))
    assert "Is she angry?" in instruction(rows[0])
    assert "Put it into French." in instruction(rows[1])
    assert all(QUESTION not in instruction(row) for row in rows)


def test_a_question_is_never_taken_for_a_pattern() -> None:
    labels = [{"task": "aqa", "question": r"What is \1 {0} {question}?", "answer": "none"}]
    (row,) = conversations(labelled(labels), upstream(labelled(labels)))
    assert labels[0]["question"] in instruction(row)


@pytest.mark.parametrize(
    ("label", "answer"),
    [
        ({"task": "asr", "text": "spoken", "answer": "other"}, "spoken"),
        ({"task": "asr", "answer": "spoken"}, "spoken"),
        ({"task": "aac", "text": "a caption"}, "a caption"),
        ({"task": "ser", "text": "I won!", "answer": "happy"}, "happy"),
    ],
)
def test_the_answer_is_found_where_manifests_put_it(label: dict[str, str], answer: str) -> None:
    (row,) = conversations(labelled([label]), upstream(labelled([label])))
    assert row["messages"][2]["text"] == answer


def test_raw_segments_become_asr_samples_only_where_settings_say_so() -> None:
    recording = Recording("r", "a.flac", 9000, license="CC0", split="train", metadata='{"a": 1}')
    tables = upstream(recording, rejected=[1], texts=["你好", "out", "世界", ""], language="zh")
    assert conversations(recording, tables) == []
    rows = conversations(recording, tables, SftSettings(asr_from_pretrain=True))
    assert [row["sample_id"] for row in rows] == ["r-0-0", "r-0-2"]
    assert [row["messages"][2]["text"] for row in rows] == ["你好", "世界"]
    for row in rows:
        assert (row["task"], row["language"], row["split"]) == ("asr", "zh", "train")
        assert (row["license"], row["metadata"]) == ("CC0", '{"a": 1}')
        assert instruction(row) in instructions(Task.ASR)["zh"]


@given(st.lists(st.sampled_from(LABELS), min_size=1, max_size=8), st.integers(0, 3), st.data())
def test_a_sample_depends_on_nothing_beside_it(
    labels: list[dict[str, str]], seed: int, data: st.DataObject
) -> None:
    """Rejecting other items changes no conversation that stays."""
    recording, settings = labelled(labels), SftSettings(seed=seed)
    rejected = data.draw(st.sets(st.integers(0, len(labels) - 1)))
    everything = conversations(recording, upstream(recording), settings)
    rest = conversations(recording, upstream(recording, rejected=list(rejected)), settings)
    assert rest == [row for n, row in enumerate(everything) if n not in rejected]


def test_seed_and_language_are_settings() -> None:
    recording = labelled([{"task": "asr", "text": "Grüße"}] * 50)
    tables = upstream(recording)

    def asked(**given: Any) -> list[str]:
        return [instruction(row) for row in conversations(recording, tables, SftSettings(**given))]

    assert asked(seed=0) == asked(seed=0) != asked(seed=1)
    mandarin = [bool(re.search("[一-鿿]", text)) for text in asked()]
    assert 10 < sum(mandarin) < 40  # German: English or Mandarin by seed
    assert set(asked(instruction_language="zh")) <= set(instructions(Task.ASR)["zh"])
    assert set(asked(instruction_language="en")) <= set(instructions(Task.ASR)["en"])


def test_reworded_instructions_are_another_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sft.Sft(SftSettings()).parameters()
    monkeypatch.setattr(
        "wavemill.pipeline.corpora.instructions.instructions", lambda _: {"en": ("Say it.",)}
    )
    assert sft.Sft(SftSettings()).parameters() != before


def test_datasets_sees_audio_in_messages(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    recording = labelled()
    table = pa.Table.from_pylist(conversations(recording, upstream(recording)), schema=sft.SCHEMA)
    metadata = {"huggingface": sft.HUGGINGFACE}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "sft.parquet")
    loaded = datasets.load_dataset(
        "parquet",
        data_files=str(tmp_path / "sft.parquet"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    message = loaded.features["messages"].feature
    assert isinstance(message["audio"], datasets.Audio)
    assert message["semantic_tokens"] == datasets.List(datasets.Value("int32"))
    plain = datasets.List({**message, "audio": datasets.Audio(decode=False)})
    first = loaded.cast_column("messages", plain)[0]["messages"]
    assert first[1]["audio"] == table["messages"][0].as_py()[1]["audio"]
    assert first[0]["audio"] is None


def test_the_schema_is_as_designed() -> None:
    columns = "sample_id recording_id task source speaker language license split "
    columns += "messages metadata lineage_id"
    assert " ".join(sft.SCHEMA.names) == columns
    assert [f.name for f in sft.MESSAGE] == ["role", "kind", "text", "audio", "semantic_tokens"]
