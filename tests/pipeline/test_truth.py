"""Scores against hand-made truth, where every figure can be counted on paper."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from wavemill.jobs.truth import format_truth, print_truth
from wavemill.pipeline.snapshots import Snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.truth import (
    SpeakerErrors,
    Truth,
    TruthError,
    Turn,
    WordErrors,
    load_truth,
    read_segments,
    score_segments,
    speaker_confusion,
    word_error_rate,
)

CALL = Truth(
    {
        "call.flac": (
            Turn(0, 4000, "anna", "Good morning, Ben."),
            Turn(5000, 9000, "ben", "Did you find the key?"),
        )
    }
)


def segments(*rows: tuple[str, int, int, str, str | None]) -> pa.Table:
    names = ("source", "start_ms", "end_ms", "speaker", "text")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])


def write_truth(folder: Path, *lines: object) -> Path:
    text = "".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines)
    (folder / "transcripts.jsonl").write_text(text, encoding="utf-8")
    return folder


def test_case_and_punctuation_are_no_word_errors() -> None:
    errors = word_error_rate({"a": "Good morning, Ben."}, {"a": "good morning ben"})
    assert errors == WordErrors(0, 0, 0, 3)
    assert errors.rate == 0


def test_word_errors_are_counted_by_kind_over_all_recordings() -> None:
    truth = {"a": "one two three four", "b": "five six"}
    heard = {"a": "one too three", "b": "five six seven", "without truth": "eight"}
    errors = word_error_rate(truth, heard)
    assert errors == WordErrors(substitutions=1, deletions=1, insertions=1, words=6)
    assert errors.rate == pytest.approx(3 / 6)


def test_words_heard_where_nobody_speaks_are_insertions() -> None:
    errors = word_error_rate({"music": "", "a": "one two"}, {"music": "la la", "a": "one two"})
    assert errors == WordErrors(0, 0, 2, 2)
    assert word_error_rate({"music": ""}, {"music": "la"}).rate == float("inf")


def test_no_truth_has_no_errors() -> None:
    assert word_error_rate({}, {"a": "one"}).rate == 0
    assert speaker_confusion(Truth({}), {}) == SpeakerErrors(0, 0, 0, 0, 0)


def test_names_of_speakers_do_not_matter() -> None:
    heard = {"call.flac": [Turn(0, 4000, "S07", ""), Turn(5000, 9000, "S03", "")]}
    assert speaker_confusion(CALL, heard) == SpeakerErrors(8.0, 0.0, 0.0, 0.0, 8.0)


def test_speaker_errors_are_shares_of_speech() -> None:
    """Of 8 s of speech 1 s is missed and 3 s go to the wrong speaker; 1 s of pause is taken."""
    heard = {"call.flac": [Turn(0, 8000, "S00", "")]}
    errors = speaker_confusion(CALL, heard)
    assert errors == SpeakerErrors(
        speech=8.0, missed=1.0, false_alarm=1.0, confused=3.0, correct=4.0
    )
    assert errors.missed_share == pytest.approx(1 / 8)
    assert errors.false_alarm_share == pytest.approx(1 / 8)
    assert errors.confusion == pytest.approx(3 / 8)
    assert errors.confusion_of_detected == pytest.approx(3 / 7)


def test_overlap_in_the_truth_is_skipped() -> None:
    truth = Truth({"a": (Turn(0, 3000, "x", ""), Turn(2000, 5000, "y", ""))})
    heard = {"a": [Turn(0, 2000, "S00", ""), Turn(3000, 5000, "S01", "")]}
    assert speaker_confusion(truth, heard) == SpeakerErrors(4.0, 0.0, 0.0, 0.0, 4.0)


def test_speech_heard_where_nobody_speaks_is_false_alarm() -> None:
    truth = Truth({"music": (), **CALL.turns})
    heard = {"music": [Turn(0, 2000, "S00", "")], "call.flac": CALL.turns["call.flac"]}
    assert speaker_confusion(truth, heard).false_alarm_share == pytest.approx(2 / 8)


def test_one_segment_over_two_turns_of_a_speaker_is_heard_once() -> None:
    truth = Truth({"a": (Turn(0, 2000, "x", ""), Turn(1000, 3000, "x", ""))})
    errors = speaker_confusion(truth, {"a": [Turn(0, 3000, "S00", "")]})
    assert errors == SpeakerErrors(3.0, 0.0, 0.0, 0.0, 3.0)


def test_segments_are_matched_by_file_name_and_read_in_time_order() -> None:
    table = segments(
        ("/data/call.flac", 5000, 9000, "S01", "did you find a key"),
        ("/data/call.flac", 0, 4000, "S00", "good morning ben"),
        ("/data/other.flac", 0, 9000, "S00", "nobody knows what is said here"),
    )
    score = score_segments(table, CALL)
    assert score.words == WordErrors(1, 0, 0, 8)
    assert score.speakers.confusion == 0
    assert score.absent == ()


def test_a_member_of_a_tar_shard_is_matched_by_its_own_name() -> None:
    rows = [
        ("/data/shard.tar#call.flac", t.start_ms, t.end_ms, t.speaker, t.text)
        for t in CALL.turns["call.flac"]
    ]
    assert score_segments(segments(*rows), CALL).words.rate == 0


def test_a_recording_without_segments_is_missed() -> None:
    truth = Truth({**CALL.turns, "lost.flac": (Turn(0, 8000, "eva", "one two"),), "music": ()})
    rows = [("call.flac", t.start_ms, t.end_ms, t.speaker, t.text) for t in CALL.turns["call.flac"]]
    score = score_segments(segments(*rows), truth)
    assert score.absent == ("lost.flac",)
    assert score.words == WordErrors(0, 2, 0, 10)
    assert score.speakers.missed_share == pytest.approx(8 / 16)


def test_a_segment_without_text_is_all_deletions() -> None:
    score = score_segments(segments(("call.flac", 0, 9000, "S00", None)), CALL)
    assert score.words == WordErrors(0, 8, 0, 8)


def test_two_recordings_of_one_name_cannot_be_told_apart() -> None:
    table = segments(("a/call.flac", 0, 1, "S00", ""), ("b/call.flac", 0, 1, "S00", ""))
    with pytest.raises(TruthError, match=r"b/call\.flac and a/call\.flac have the same name"):
        score_segments(table, CALL)


def test_rows_of_the_summary() -> None:
    score = score_segments(segments(("call.flac", 0, 8000, "S00", "good morning ben did")), CALL)
    assert format_truth(score) == [
        ("word error rate", "50.0% of 8 words (0 substituted, 4 deleted, 0 inserted)"),
        ("speaker confusion", "42.9% of detected speech (37.5% of all)"),
        ("missed speech", "12.5% of 8 s"),
        ("false alarm", "12.5%"),
    ]


def test_what_was_not_heard_is_named() -> None:
    rows = dict(format_truth(score_segments(segments(("x.flac", 0, 1, "S00", "")), CALL)))
    assert rows["nothing heard in"] == "call.flac"


def test_truth_is_read_in_milliseconds(tmp_path: Path) -> None:
    turns = [
        {"speaker": "ben", "start": 2.5, "end": 3.0, "text": "Yes."},
        {"speaker": "anna", "start": 0.701, "end": 1.43, "text": "Really?"},
    ]
    folder = write_truth(
        tmp_path, {"recording": "a.flac", "turns": turns}, {"recording": "music.flac", "turns": []}
    )
    truth = load_truth(folder)
    assert truth.turns["a.flac"][0] == Turn(701, 1430, "anna", "Really?")
    assert truth.text == {"a.flac": "Really? Yes.", "music.flac": ""}


@pytest.mark.parametrize(
    "line",
    [
        "not JSON",
        {"turns": []},
        {"recording": "b.flac"},
        {"recording": "b.flac", "turns": [{"speaker": "x", "start": 2.0, "end": 1.0, "text": ""}]},
        {"recording": "b.flac", "turns": [{"speaker": "x", "start": 2.0, "text": ""}]},
        ["b.flac"],
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: object) -> None:
    folder = write_truth(tmp_path, {"recording": "a.flac", "turns": []}, line)
    with pytest.raises(TruthError, match=r"transcripts\.jsonl:2"):
        load_truth(folder)


def test_a_folder_without_truth_is_named(tmp_path: Path) -> None:
    with pytest.raises(TruthError, match=r"cannot read .*transcripts\.jsonl"):
        load_truth(tmp_path)


@pytest.mark.parametrize(("module", "package"), [("jiwer", "jiwer"), ("pyannote.core", "pyannote")])
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, module: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(TruthError, match=rf"{package}.* is not installed: pip install"):
        score_segments(segments(("call.flac", 0, 1, "S00", "")), CALL)


@pytest.fixture
def snapshot(tmp_path: Path) -> tuple[Store, Snapshot]:
    """A WORKDIR with one recording: two segments, of which one was transcribed."""
    store = Store.open(tmp_path)
    snapshot = Snapshot(1, None, "", "", "", "", 1, 0, 0, {})
    tables = {
        f"{snapshot.folder}/recordings.parquet": {"recording_id": ["r"], "uri": ["/d/call.flac"]},
        "d.parquet": {
            "recording_id": ["r", "r"],
            "segment_id": ["r-1", "r-0"],
            "track": [0, 0],
            "start_ms": [5000, 0],
            "end_ms": [9000, 4000],
            "speaker": ["S01", "S00"],
        },
        "t.parquet": {"recording_id": ["r"], "segment_id": ["r-0"], "text": ["good morning ben"]},
        f"{snapshot.folder}/lineage.parquet": {
            "stage": ["diarize", "transcribe"],
            "output": ["d.parquet", "t.parquet"],
        },
    }
    for key, columns in tables.items():
        store.write_table(key, pa.table(columns))
    return store, snapshot


def test_segments_of_a_snapshot(snapshot: tuple[Store, Snapshot]) -> None:
    assert (
        read_segments(*snapshot).to_pylist()
        == segments(
            ("/d/call.flac", 0, 4000, "S00", "good morning ben"),
            ("/d/call.flac", 5000, 9000, "S01", None),
        ).to_pylist()
    )


def test_a_build_is_scored_and_printed(snapshot: tuple[Store, Snapshot], tmp_path: Path) -> None:
    turns = [
        {"speaker": t.speaker, "start": t.start_ms / 1000, "end": t.end_ms / 1000, "text": t.text}
        for t in CALL.turns["call.flac"]
    ]
    folder = write_truth(tmp_path, {"recording": "call.flac", "turns": turns})
    out = io.StringIO()
    print_truth(Console(file=out, width=120), *snapshot, folder)
    assert "62.5% of 8 words (0 substituted, 5 deleted, 0 inserted)" in out.getvalue()
    assert "0.0% of detected speech" in out.getvalue()
