"""lhotse's manifests, with lines as lhotse 1.33 wrote them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.manifests.support import reasons, scan, uris, write_lines, write_wav

RECORDING = {
    "id": "rec-a",
    "sources": [{"type": "file", "channels": [0], "source": "a.wav"}],
    "sampling_rate": 16000,
    "num_samples": 32000,
    "duration": 2.0,
    "channel_ids": [0],
}
STEREO = {
    "id": "st",
    "sources": [{"type": "file", "channels": [0, 1], "source": "st.wav"}],
    "sampling_rate": 16000,
    "num_samples": 16000,
    "duration": 1.0,
    "channel_ids": [0, 1],
}
SPOKEN = {
    "id": "sup1",
    "recording_id": "rec-a",
    "start": 0.25,
    "duration": 0.5,
    "channel": 0,
    "text": "hello",
    "language": "English",
    "speaker": "s1",
    "gender": "F",
    "custom": {"mood": "glad"},
}
SILENT = {"id": "sup2", "recording_id": "rec-a", "start": 1.0, "duration": 0.5, "channel": 0}


def cut(**fields: Any) -> dict[str, Any]:
    return {
        "id": "rec-a-0",
        "start": 0,
        "duration": 2.0,
        "channel": 0,
        "supervisions": [SPOKEN, SILENT],
        "recording": RECORDING,
        "type": "MonoCut",
    } | fields


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    write_wav(tmp_path / "a.wav", 2000)
    write_wav(tmp_path / "st.wav", 1000, 2, channels=2)
    return tmp_path


def test_recordings(audio: Path) -> None:
    line = RECORDING | {"custom": {"room": 3}}
    found = scan(write_lines(audio / "recordings.jsonl", [line, STEREO]))
    assert found.errors == []
    assert uris(found) == [str(audio / "a.wav"), str(audio / "st.wav")]
    assert not any(r.labelled or r.regions for r in found.recordings)
    metadata = {r.uri: json.loads(r.metadata) for r in found.recordings}
    assert metadata[str(audio / "a.wav")] == {"id": "rec-a", "room": 3}


def test_cuts_with_supervisions(audio: Path) -> None:
    multi = cut(channel=[0, 1], supervisions=[], recording=STEREO, type="MultiCut", duration=1.0)
    path = audio / "cuts.jsonl.gz"
    lines = [json.dumps(line) for line in (cut(custom={"corpus": "x"}), multi)]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    found = scan(path)
    assert found.errors == []
    spoken, raw = sorted(found.recordings, key=lambda r: r.uri)
    [item] = spoken.items
    assert (item.start_ms, item.end_ms, item.text, item.task) == (250, 750, "hello", "asr")
    assert (item.language, item.speaker) == ("en", "s1")
    assert json.loads(item.metadata) == {
        "corpus": "x",
        "gender": "F",
        "id": "sup1",
        "language": "English",
        "mood": "glad",
    }
    assert (raw.labelled, raw.regions) == (False, ())


def test_times_count_from_the_start_of_the_cut(audio: Path) -> None:
    # As `cut.truncate(offset=0.5, duration=1.0)` leaves it: the supervision began before.
    early = SPOKEN | {"start": -0.25}
    late = SPOKEN | {"start": 0.5, "text": "later"}
    line = cut(start=0.5, duration=1.0, supervisions=[early, late])
    [recording] = scan(write_lines(audio / "c.jsonl", [line])).recordings
    assert [(i.start_ms, i.end_ms) for i in recording.items] == [(250, 750), (1000, 1500)]


def test_cut_without_transcript_is_a_region(audio: Path) -> None:
    lines = [
        cut(start=0.5, duration=0.25, supervisions=[]),
        cut(id="c2", start=1.25, duration=0.5, supervisions=[SILENT | {"text": ""}]),
    ]
    [recording] = scan(write_lines(audio / "c.jsonl", lines)).recordings
    assert not recording.labelled
    assert recording.regions == ((500, 750), (1250, 1750))


def test_supervisions_join_their_recordings(audio: Path) -> None:
    supervisions = write_lines(
        audio / "a_supervisions.jsonl", [SPOKEN, SILENT, SPOKEN | {"recording_id": "other"}]
    )
    recordings = write_lines(audio / "b_recordings.jsonl", [RECORDING, STEREO])
    found = scan(supervisions, recordings)
    assert reasons(found) == [(f"{supervisions}:3", "recording_unknown")]
    assert found.notes == []
    spans = {r.uri: [(i.start_ms, i.end_ms) for i in r.items] for r in found.recordings}
    assert spans == {str(audio / "a.wav"): [(250, 750)], str(audio / "st.wav"): []}


def test_id_that_two_recordings_have(audio: Path) -> None:
    lines = [RECORDING, STEREO | {"id": "rec-a"}, RECORDING, SPOKEN]
    found = scan(write_lines(audio / "all.jsonl", lines))
    assert reasons(found) == [(f"{audio}/all.jsonl:4", "recording_unknown")]


def test_paths_from_the_current_folder(audio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (audio / "manifests").mkdir()
    manifest = write_lines(audio / "manifests" / "r.jsonl", [RECORDING])
    monkeypatch.chdir(audio)
    assert uris(scan(manifest)) == [str(audio / "a.wav")]


MIXED = {
    "id": "mixed",
    "tracks": [{"cut": cut(), "type": "MonoCut", "offset": 0.0}],
    "type": "MixedCut",
}
SPEED = [{"name": "Speed", "kwargs": {"factor": 1.1}}]
RESAMPLE = [{"name": "Resample", "kwargs": {"source_sampling_rate": 16000}}]


def source(kind: str, name: str = "a.wav") -> dict[str, Any]:
    return {"type": kind, "channels": [0], "source": name}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (MIXED, "unsupported_cut"),
        (
            {"id": "p", "duration": 3.0, "num_samples": 48000, "type": "PaddingCut"},
            "unsupported_cut",
        ),
        ({k: v for k, v in cut().items() if k != "recording"}, "unsupported_cut"),
        (RECORDING | {"transforms": SPEED}, "unsupported_transform"),
        (cut(recording=RECORDING | {"transforms": SPEED}), "unsupported_transform"),
        (RECORDING | {"sources": [source("command", "cat a.wav |")]}, "unsupported_source"),
        (RECORDING | {"sources": [source("shar")]}, "unsupported_source"),
        (RECORDING | {"sources": [source("file", "nosuch://x/a.wav")]}, "source_not_allowed"),
        (RECORDING | {"sources": [source("file"), source("file")]}, "unsupported_source"),
        (RECORDING | {"sources": []}, "unsupported_source"),
        (RECORDING | {"sources": "a.wav"}, "bad_field"),
        (RECORDING | {"sources": [source("file", "gone.wav")]}, "file_missing"),
        (cut(channel=1, recording=STEREO), "unsupported_channel"),
        (cut(recording="rec-a"), "bad_field"),
        (cut(custom=[1]), "bad_field"),
        (cut(start="soon"), "bad_field"),
        (cut(supervisions=5), "bad_field"),
        (cut(supervisions={"text": "x"}), "bad_field"),
        (cut(supervisions=[SPOKEN | {"duration": None}]), "bad_field"),
        (cut(channel="0"), "bad_field"),
        (RECORDING | {"transforms": [[]]}, "unsupported_transform"),
        (RECORDING | {"transforms": {"name": "Resample"}}, "bad_field"),
        (RECORDING | {"sources": 5}, "bad_field"),
        (cut(duration=-1, supervisions=[]), "bad_field"),
        (cut(supervisions=[SPOKEN | {"start": 1.8}]), "beyond_end"),
        (cut(supervisions=[SPOKEN | {"start": -1}]), "bad_field"),
        (cut(supervisions=["x"]), "bad_field"),
    ],
)
def test_what_cannot_be_read(audio: Path, line: dict[str, Any], reason: str) -> None:
    found = scan(write_lines(audio / "m.jsonl", [line, RECORDING]))
    assert reasons(found) == [(f"{audio}/m.jsonl:1", reason)]
    assert uris(found) == [str(audio / "a.wav")]
    assert not found.recordings[0].labelled


def test_one_bad_supervision_harms_no_other(audio: Path) -> None:
    line = cut(supervisions=[SPOKEN | {"duration": "x"}, SPOKEN])
    found = scan(write_lines(audio / "m.jsonl", [line]))
    assert reasons(found) == [(f"{audio}/m.jsonl:1", "bad_field")]
    assert len(found.recordings[0].items) == 1


def test_resampling_changes_nothing(audio: Path) -> None:
    found = scan(write_lines(audio / "m.jsonl", [RECORDING | {"transforms": RESAMPLE}]))
    assert found.errors == []
    assert len(found.recordings) == 1
