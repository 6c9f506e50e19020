"""Seeded damage to manifests: no scan stops, nothing unforeseen is met, nothing else is harmed."""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.manifests.support import scan, write_lines, write_wav
from wavemill.manifests.config import LineLimits, ScanConfig
from wavemill.manifests.recording import Sources
from wavemill.manifests.table import (
    audio_digest,
    label_digest,
    recordings_from_table,
    recordings_table,
)

MUTANTS = 400  # of each kind
LIMITS = ScanConfig(lines=LineLimits(max_line_bytes=1 << 16, unzip_anyway_bytes=1 << 20))
RECORDING = {
    "id": "r",
    "sources": [{"type": "file", "channels": [0, 1], "source": "b.wav"}],
    "sampling_rate": 8000,
    "num_samples": 16000,
    "duration": 2.0,
    "channel_ids": [0, 1],
    "transforms": [{"name": "Resample", "kwargs": {}}],
}
SUPERVISION = {
    "id": "s",
    "recording_id": "r",
    "start": 0.25,
    "duration": 0.5,
    "channel": 1,
    "text": "hello",
    "language": "English",
    "custom": {"mood": "glad"},
}
CUT = {
    "id": "c",
    "start": 0.0,
    "duration": 2.0,
    "channel": [0, 1],
    "supervisions": [SUPERVISION],
    "recording": RECORDING,
    "type": "MultiCut",
    "custom": {"corpus": "x"},
}
LINES: list[dict[str, Any]] = [
    {"audio_filepath": "a.wav", "offset": 0.5, "duration": 1.25, "text": "héllo", "lang": "en-US"},
    {"audio": "b.wav", "question": "Who?", "answer": "he", "task": "aqa", "speaker": 7, "x": [1]},
    {"path": "a.wav", "start_time": "0.5", "end_time": 1.5, "sentence": "hi", "channel": 0},
    {"audio": "b.wav", "split": "test", "language": "zh", "license": None},
    RECORDING,
    SUPERVISION,
    CUT,
]
STRANGE: list[Any] = [
    *(None, True, False, 0, -1, 1, 5, 0.5, -0.0, 1e300, 10**30, 10**400, 2**63, float("nan")),
    *(float("inf"), -float("inf"), "", " ", "nan", "None", "1,5", "1e999", "\0", "\u202e", "💥"),
    *([], {}, [[]], [{}], {"": {}}, [None], {"name": []}, [0, 0], [1.0, 2.0], "a" * 5000),
    *(
        "data:audio/wav;base64,AAAA",
        "zip://a::http://127.0.0.1:1/b",
        "file:///dev/zero",
        "/dev/zero",
    ),
    *("http://127.0.0.1:1/a.wav", "s3://b?endpoint_override=127.0.0.1:1#/a.wav", "memory://a", "~"),
    *("//", "..", "/", "a.wav#b", "s.tar#a", "\\", "C:\\a.wav", "a.wav\0", "é" * 300, "x/" * 3000),
]
KEYS = [
    *("audio", "audio_filepath", "path", "text", "answer", "question", "task", "offset", "start"),
    *("duration", "end", "end_ms", "length", "timestamp", "onset", "start_sample", "channel"),
    *("channel_selector", "language", "lang", "speaker", "split", "id", "recording_id", "sources"),
    *("supervisions", "recording", "transforms", "custom", "tracks", "type", "", "\0", "Text"),
]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of everything inside a JSON value."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    found = [(value, key) for key in keys]
    for key in keys:
        if isinstance(value[key], dict | list):
            found += places(value[key])
    return found


def strange_fields(draw: random.Random) -> bytes:
    line = copy.deepcopy(draw.choice(LINES))
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        container, key = draw.choice(places(line) or [(line, "x")])
        what = draw.random()
        if what < 0.6:
            container[key] = draw.choice(STRANGE)
        elif what < 0.8:
            line[draw.choice(KEYS)] = draw.choice(STRANGE)
        else:
            del container[key]
    return json.dumps(line).encode()


def deep(draw: random.Random) -> bytes:
    depth = draw.choice([30, 63, 64, 65, 300, 900, 990, 1000, 5000, 40_000])
    inner = "".join(draw.choice(["[", '{"a":']) for _ in range(depth))
    closed = "".join("]" if c == "[" else "}" for c in reversed(inner) if c in "[{")
    key = draw.choice(["x", "audio", "text", "supervisions", "custom", "transforms", "id"])
    base = json.dumps(draw.choice(LINES))[:-1]
    return f'{base}, "{key}": {inner}1{closed}}}'.encode()


def damaged(draw: random.Random, content: bytes) -> bytes:
    mutant = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 8, 40])):
        at = draw.randrange(len(mutant))
        what = draw.random()
        if what < 0.4:
            mutant[at] = draw.randrange(256)
        elif what < 0.6:
            mutant[at:at] = draw.choice([b"\n", b"\r", b"[", b"]", b"{", b'"', b"\\ud800", b"\xff"])
        elif what < 0.8:
            del mutant[at : at + draw.randrange(1, 30)]
        else:
            mutant[at:at] = mutant[at : at + draw.randrange(1, 2000)]
        mutant = mutant or bytearray(b"\n")
    return bytes(mutant)


def check(found: Sources) -> None:
    """What must hold whatever stood in the manifest."""
    assert [e for e in found.errors if e.reason == "entry_failed"] == []
    for error in found.errors:
        assert error.message
        f"{error.source}{error.message}".encode()
    for recording in found.recordings:
        json.loads(recording.metadata)
        for item in recording.items:
            assert 0 <= item.start_ms < item.end_ms <= recording.duration_ms
            json.loads(item.metadata)
        assert audio_digest(recording) != label_digest(recording)
    assert recordings_from_table(recordings_table(found.recordings)) == found.recordings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_wav(tmp_path / "a.wav", 2000, 1)
    write_wav(tmp_path / "b.wav", 2000, 2, channels=2)
    write_wav(tmp_path / "good.wav", 1000, 3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


GOOD = {"audio": "good.wav", "text": "good"}


@pytest.mark.parametrize("make", [strange_fields, deep])
def test_strange_lines(folder: Path, make: Callable[[random.Random], bytes]) -> None:
    draw = random.Random(make.__name__)
    for _ in range(MUTANTS // 20):
        lines = [make(draw).decode() for _ in range(20)]
        found = scan(write_lines(folder / "m.jsonl", [*lines, GOOD]), config=LIMITS)
        check(found)
        assert [i.text for r in found.recordings for i in r.items].count("good") == 1


def test_strange_elements_of_an_array(folder: Path) -> None:
    draw = random.Random("array")
    path = folder / "m.json"
    for _ in range(MUTANTS // 20):
        elements = [json.dumps(GOOD), *(strange_fields(draw).decode() for _ in range(20))]
        path.write_text(f"[{','.join(elements)}]", encoding="utf-8")
        found = scan(path, config=LIMITS)
        check(found)
        assert [i.text for r in found.recordings for i in r.items].count("good") == 1


@pytest.mark.parametrize("kind", ["jsonl", "json", "jsonl.gz", "utf-16"])
def test_damaged_bytes(folder: Path, kind: str) -> None:
    draw = random.Random(kind)
    lines = [json.dumps(line, ensure_ascii=False) for line in LINES]
    text = f"[{','.join(lines)}]" if kind == "json" else "\r\n".join(lines)
    content = text.encode("utf-16" if kind == "utf-16" else "utf-8")
    if kind.endswith("gz"):
        content = gzip.compress(content, mtime=0)
    path = folder / f"m.{kind if kind != 'utf-16' else 'jsonl'}"
    good = write_lines(folder / "good.jsonl", [GOOD])
    for _ in range(MUTANTS // 4):
        path.write_bytes(damaged(draw, content))
        found = scan(path, good, config=LIMITS)
        check(found)
        assert [i.text for r in found.recordings for i in r.items].count("good") == 1
