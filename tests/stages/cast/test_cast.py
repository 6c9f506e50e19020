"""Who says what: drawn by the conversation, and moved by little."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support import MemoryUpstream
from wavemill.manifests.conversations import conversation
from wavemill.manifests.recording import MessageOf
from wavemill.stages.cast.stage import Cast, CastSettings, blends, kind_of
from wavemill.stages.recording_stage import RecordingError
from wavemill.stages.rewrite.stage import SCHEMA as REWRITTEN


def cast(text: str, split: str | None = None, **settings: Any) -> list[dict[str, Any]]:
    written = [(MessageOf.USER, text), (MessageOf.ASSISTANT, "Yes.")]
    made = replace(conversation(written, "c:1"), split=split)
    key = made.recording_id
    messages = [
        {"role": "user", "text": text, "written": text},
        {"role": "assistant", "text": "Yes.", "written": "Yes."},
    ]
    tables = {
        "screen": pa.table({"recording_id": [key], "kept": [True]}),
        "rewrite": pa.Table.from_pylist(
            [{"recording_id": key, "segment_id": key, "messages": messages}], schema=REWRITTEN
        ),
    }
    stage = Cast(CastSettings(**settings))
    return [row for b in stage(made, MemoryUpstream(key, tables)) for row in b.to_pylist()]


def test_a_cast_is_drawn_by_the_conversation() -> None:
    assert cast("Is it so?") == cast("Is it so?")
    voices = {cast(f"Is it {n}?")[0]["voice"] for n in range(100)}
    assert len(voices) > 15
    assert {cast(f"Is it {n}?")[1]["voice"] for n in range(5)} == {"jf_alpha"}


def test_a_further_voice_moves_only_its_share() -> None:
    names = ("a", "b", "c", "d")
    changed = []
    for n in range(200):
        before = cast(f"Is it {n}?", user_voices=names, blends=0)
        after = cast(f"Is it {n}?", user_voices=(*names, "e"), blends=0)
        assert before[1] == after[1]
        if before[0] != after[0]:
            changed.append({after[0]["voice"], after[0]["other_voice"]})
    assert all("e" in voices for voices in changed)
    assert 50 <= len(changed) <= 110  # two of five


def test_pace_and_pitch_are_within_their_bounds_and_recorded() -> None:
    rows = [cast(f"Is it {n}?")[0] for n in range(50)]
    assert all(0.88 <= row["pace"] <= 1.12 and 0.94 <= row["pitch"] <= 1.06 for row in rows)
    assert len({(row["pace"], row["pitch"]) for row in rows}) > 40


def test_blends_are_different() -> None:
    assert len(set(blends("abcde", 20))) == 20
    assert blends("ab", 2) == ["a+b:0.5", "a+b:0.35"]


def test_a_blend_needs_two_voices() -> None:
    with pytest.raises(ValueError, match="two voices"):
        CastSettings(user_voices=("a",))


@pytest.mark.parametrize(
    ("written", "text", "kind"),
    [
        ("It is 5.", "It is five.", "number"),
        ("Yes.", "Yes.", "short"),
        ("Is this a question?", "Is this a question?", "question"),
        ("word " * 41, "word " * 41, "long"),
        ("This is a sentence.", "This is a sentence.", "plain"),
    ],
)
def test_kinds(written: str, text: str, kind: str) -> None:
    assert kind_of(written, text) == kind


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    rows = [{"voice": f"{split}{n}", "split": split} for split in ("train", "test") for n in "ab"]
    rows.append({"voice": "any", "split": None})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "voices.parquet")
    return tmp_path / "voices.parquet"


def test_voices_of_a_file_are_kept_apart_by_split(voices: Path) -> None:
    def used(split: str | None) -> set[str]:
        rows = [cast(f"Is it {n}?", split, voices=voices)[0] for n in range(60)]
        return {row[name] for row in rows for name in ("voice", "other_voice")}

    assert used("train") == used(None) == {"traina", "trainb", "any"}
    assert used("test") == {"testa", "testb", "any"}


def test_a_split_without_voices_is_a_row(voices: Path) -> None:
    rows = [{"voice": "a", "split": "test"}]
    pq.write_table(pa.Table.from_pylist(rows), voices)
    with pytest.raises(RecordingError, match="no voice of the split 'train'"):
        cast("Is it so?", "train", voices=voices)


def test_the_names_in_a_file_of_voices_decide_and_not_its_place(voices: Path) -> None:
    before = Cast(CastSettings(voices=voices)).parameters()
    moved = voices.rename(voices.with_name("moved.parquet"))
    assert Cast(CastSettings(voices=moved)).parameters() == before
    assert str(moved) not in str(before)
    plain = Cast(CastSettings()).parameters()
    assert "voices" not in plain
    assert plain != before
