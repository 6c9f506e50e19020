"""Written conversations as sources: their shapes, and what cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.manifests.support import reasons, scan, write_lines, write_wav
from wavemill.manifests.copies import EARLIER
from wavemill.manifests.recording import MessageOf, Recording

USER, ASSISTANT = MessageOf.USER, MessageOf.ASSISTANT
CHAT = {
    "messages": [
        {"role": "user", "content": "Is it so?"},
        {"role": "assistant", "content": "It is."},
    ]
}


def said(recording: Recording) -> list[tuple[str, str | None]]:
    return [(item.task, item.text) for item in recording.items]


@pytest.mark.parametrize(
    "line",
    [
        CHAT,
        {
            "conversations": [
                {"from": "human", "value": "Is it so?"},
                {"from": "gpt", "value": "It is."},
            ]
        },
        {"instruction": "Is it so?", "input": "", "output": "It is."},
        {"prompt": "Is it so?", "response": "It is."},
        {
            "messages": [
                {"role": "User", "content": [{"type": "text", "text": "Is it so?"}]},
                {"role": "model", "content": "It is."},
            ]
        },
    ],
)
def test_one_conversation_in_any_shape(tmp_path: Path, line: dict[str, Any]) -> None:
    found = scan(write_lines(tmp_path / "m.jsonl", [line]))
    assert found.errors == []
    [recording] = found.recordings
    assert said(recording) == [(USER, "Is it so?"), (ASSISTANT, "It is.")]
    assert recording.written
    assert recording.duration_ms > 0
    [again] = scan(write_lines(tmp_path / "n.jsonl", [CHAT])).recordings
    assert again.recording_id == recording.recording_id


def test_what_is_stated_of_it(tmp_path: Path) -> None:
    stated = {"language": "English", "licence": "CC0", "split": "test", "id": 7, "topic": "x"}
    [found] = scan(write_lines(tmp_path / "m.jsonl", [{**CHAT, **stated}])).recordings
    assert (found.language, found.license, found.split) == ("en", "CC0", "test")
    assert json.loads(found.metadata) == {"id": 7, "topic": "x"}
    assert found.uri.endswith("m.jsonl:1")


def test_input_and_history(tmp_path: Path) -> None:
    line = {"instruction": "Sum it", "input": "a b", "output": "c", "history": [["p", "q"]]}
    [found] = scan(write_lines(tmp_path / "m.jsonl", [{**line, "system": "Be kind."}])).recordings
    assert [text for _, text in said(found)] == ["Be kind.", "p", "q", "Sum it\n\na b", "c"]


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([], "no message of a user"),
        ([("assistant", "a")], "no message of a user"),
        ([("user", " "), ("assistant", "a")], "is empty"),
        ([("user", None), ("assistant", "a")], "has no text"),
        ([("assistant", "a"), ("user", "b")], "does not begin with a user"),
        ([("user", "a"), ("user", "b")], "follow each other"),
        ([("user", "a")], "does not end with an answer"),
        ([("user", "a"), ("tool", "b")], "unknown role 'tool'"),
        ([("user", "a"), ("system", "b"), ("assistant", "c")], "after the first"),
    ],
)
def test_bad_ones_are_rows(tmp_path: Path, messages: list[Any], why: str) -> None:
    line = {"messages": [{"role": role, "content": text} for role, text in messages]}
    found = scan(write_lines(tmp_path / "m.jsonl", [line, CHAT]))
    assert len(found.recordings) == 1
    [error] = found.errors
    assert (error.reason, error.source[-2:]) == ("bad_conversation", ":1")
    assert why in error.message


def test_copies_count_once(tmp_path: Path) -> None:
    found = scan(write_lines(tmp_path / "m.jsonl", [CHAT, {**CHAT, "id": 2}]))
    assert len(found.recordings) == found.duplicates == 1


def test_the_same_question_again_is_counted(tmp_path: Path) -> None:
    other = {
        "messages": [
            {"role": "user", "content": "IS it -- so"},
            {"role": "assistant", "content": "No."},
        ]
    }
    found = scan(write_lines(tmp_path / "m.jsonl", [CHAT, other, CHAT]))
    counts = [json.loads(one.metadata).get(EARLIER, 0) for one in found.recordings]
    assert counts == [0, 1]


def test_parquet(tmp_path: Path) -> None:
    bad = {"messages": [{"role": "user", "content": "a"}], "id": "b"}
    pq.write_table(pa.Table.from_pylist([{**CHAT, "id": "a"}, bad]), tmp_path / "c.parquet")
    found = scan(tmp_path / "c.parquet")
    [recording] = found.recordings
    assert recording.uri.endswith("c.parquet:1")
    assert json.loads(recording.metadata) == {"id": "a"}
    assert [r for _, r in reasons(found)] == ["bad_conversation"]


def test_other_parquet_is_refused_as_before(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "c.parquet")
    assert [r for _, r in reasons(scan(tmp_path / "c.parquet"))] == ["unsupported_source"]
    (tmp_path / "d.parquet").write_bytes(b"PAR1 and no more")
    assert [r for _, r in reasons(scan(tmp_path / "d.parquet"))] == ["unsupported_source"]


def test_beside_recordings_in_one_manifest(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", 1000)
    lines = [CHAT, {"audio_filepath": "a.wav", "text": "hello"}, {**CHAT, "audio": "a.wav"}]
    found = scan(write_lines(tmp_path / "m.jsonl", lines))
    assert [r.written for r in sorted(found.recordings, key=lambda r: r.uri)] == [False, True]


def test_the_tasks_of_messages_are_not_for_labels(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", 1000)
    line = {"audio": "a.wav", "task": "user_message", "question": "q", "answer": "a"}
    assert [r for _, r in reasons(scan(write_lines(tmp_path / "m.jsonl", [line])))] == ["bad_field"]
