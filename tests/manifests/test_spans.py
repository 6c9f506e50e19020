"""Fields that say which part of a recording a line is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.manifests.support import reasons, scan, write_lines, write_wav
from wavemill.manifests.reasons import EntryError
from wavemill.manifests.spans import read_span


@pytest.mark.parametrize(
    "fields",
    [
        {"offset": 1.5, "duration": 2.5},
        {"start": 1.5, "end": 4.0},
        {"start": "1.5", "end": "4,0"},
        {"start_time": 1.5, "end_time": 4},
        {"startTime": 1.5, "endTime": 4},
        {"Start": 1.5, "End": 4},
        {"START_TIME": 1.5, "STOP_TIME": 4},
        {"begin": 1.5, "stop": 4},
        {"begin_time": 1.5, "duration": 2.5},
        {"start": 1.5, "length": 2.5},
        {"start": 1.5, "dur": 2.5},
        {"start_ms": 1500, "end_ms": 4000},
        {"start_ms": 1500, "duration_ms": 2500},
        {"offset_ms": 1500, "length_ms": 2500},
        {"start_sec": 1.5, "end_seconds": 4},
        {"segment_start": 1.5, "segment_end": 4},
        {"segmentBegin": 1.5, "segmentEnd": 4},
        {"audio_start": 1.5, "audio_end": 4},
        {"t_start": 1.5, "t_end": 4},
        {"xmin": 1.5, "xmax": 4},
        {"from": 1.5, "to": 4},
        {"onset": 1.5, "offset": 4},
        {"onset": 1.5, "offset": 4, "duration": 2.5},
        {"offset": 1.5, "end": 4},
        {"end": 4, "duration": 2.5},
        {"start": 1.5, "end": 4, "duration": 2.49},
        {"start": 1.5, "end": 4, "audio_duration": 60},
        {"start": 1.5, "end": 4, "start_ms": 1500},
        {"start": "00:00:01.500", "end": "00:00:04,000"},
        {"timestamp": [1.5, 4]},
        {"segment": [1.5, 4.0]},
        {"offset": 1.5, "duration": 2.5, "start": 0, "end": 99, "length": "long"},
        {"offset": None, "start": 1.5, "stop": 4, "begin": "nan"},
    ],
)
def test_what_is_said_in_many_ways(fields: dict[str, Any]) -> None:
    span = read_span(fields)
    assert span.start == 1.5
    assert span.end == pytest.approx(4, abs=0.011)
    assert span.used <= fields.keys() - {"offset", "duration"}


@pytest.mark.parametrize(
    ("fields", "start", "end"),
    [
        ({}, 0, None),
        ({"offset": 2}, 2, None),
        ({"start": 2}, 2, None),
        ({"duration": 2}, 0, 2),
        ({"end": 2}, 0, 2),
        ({"text": "x", "words": [{"start": 1, "end": 2}], "segments": [[0, 1]]}, 0, None),
        ({"start_time": "2024-05-01T10:00:00Z", "end_time": "2024-5-1 11:00"}, 0, None),
        ({"from": "human", "to": "gpt"}, 0, None),
        ({"text_length": 9, "num_samples": 16000, "sample_rate": 8000, "audio_len": 4}, 0, None),
        ({"weekend": 1, "trend": 2, "restart": 3, "word_start": 4, "end_token": 5}, 0, None),
        ({"start": None, "end": float("nan")}, 0, None),
    ],
)
def test_what_is_said_in_part_or_about_something_else(
    fields: dict[str, Any], start: float, end: float | None
) -> None:
    assert read_span(fields)[:2] == (start, end)


@pytest.mark.parametrize(
    "fields",
    [
        {"start": 2, "end": 1},
        {"start": 2, "end": 2},
        {"start": -1, "end": 1},
        {"end": 1, "duration": 5},
        {"duration": 0},
        {"start": 1, "end": 4, "duration": 6},  # whose length is it?
        {"start": 1, "begin": 2, "end": 4},
        {"offset": 1, "start": 2, "end": 4},
        {"start": "soon", "end": 4},
        {"start": [1], "end": 4},
        {"start": True, "end": 4},
        {"length": 4},
        {"len": 4},
        {"start_sample": 16000, "end_sample": 32000},
        {"frame_offset": 16000},
        {"start_frame": 1, "end_frame": 2},
        {"start_us": 10, "end_us": 20},
        {"start_offset": 4, "end_offset": 9},
        {"timestamp": [4, 1]},
        {"offset": 10**400, "duration": 1},
    ],
)
def test_what_is_not_plain_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(EntryError) as raised:
        read_span(fields)
    assert raised.value.reason == "bad_field"


def test_a_text_never_goes_with_the_whole_file(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", 10_000)
    lines = [
        {"audio": "a.wav", "text": "taken", "start": 1.78, "end": 4.59},
        {"audio": "a.wav", "text": "refused", "start_sample": 14240},
        {"audio": "a.wav", "text": "in milliseconds", "start": 1780, "end": 4590},
    ]
    found = scan(write_lines(tmp_path / "m.jsonl", lines))
    [recording] = found.recordings
    assert [(i.start_ms, i.end_ms, i.text, i.metadata) for i in recording.items] == [
        (1780, 4590, "taken", "{}")
    ]
    manifest = str(tmp_path / "m.jsonl")
    assert reasons(found) == [(f"{manifest}:2", "bad_field"), (f"{manifest}:3", "beyond_end")]
