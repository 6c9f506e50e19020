"""Exports: what others read, in parts that are written once."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from tests.command import wavemill
from tests.object_store import ObjectStore
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.corpora.sft import SCHEMA
from wavemill.pipeline.export.format import AudioOptions, Format
from wavemill.pipeline.export.formats import FORMATS
from wavemill.pipeline.export.kimi_jsonl import KimiJsonl
from wavemill.pipeline.export.messages import Messages
from wavemill.pipeline.export.run import Exported, Selection, export
from wavemill.pipeline.export.stereo import Stereo
from wavemill.pipeline.snapshots import LINEAGE_SCHEMA, Snapshot
from wavemill.pipeline.store import Store
from wavemill.stages.audio.flac import encode_flac

RATE = 16_000
EVERYTHING = Selection()
WAV = AudioOptions()


def tone(hz: float, seconds: float = 0.5) -> np.ndarray:
    """Return a tone with 0.1 s of silence on each side."""
    times = np.arange(round(seconds * RATE)) / RATE
    return np.pad((0.5 * np.sin(2 * np.pi * hz * times)).astype(np.float32), RATE // 10)


def said(role: str, hz: float | None, text: str | None) -> dict[str, Any]:
    sound = None if hz is None else {"bytes": encode_flac(tone(hz), RATE), "path": "a.flac"}
    kind = "text" if sound is None else "audio"
    return {
        "role": role, "kind": kind, "text": text, "audio": sound,
        "semantic_tokens": None if sound is None else [1, 2],
    }  # fmt: skip


def row(name: str, task: str, *messages: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    spoken = [{"role": m["role"], "text": m["text"] or "what is it"} for m in messages]
    made = dict.fromkeys(SCHEMA.names)
    return {
        **made, "sample_id": name, "recording_id": name, "task": task, "source": "chats.jsonl",
        "messages": list(messages), "metadata": json.dumps({"spoken": spoken}), "lineage_id": "l",
        "split": "train", **more,
    }  # fmt: skip


CHAT = row("d1-chat", "chat", said("user", 300, None), said("assistant", None, "It is **4**."))
TALK = row(
    "d1-conversation",
    "conversation",
    said("user", 300, None),
    said("assistant", 600, "It is four."),
    said("user", 300, None),
    said("assistant", 600, "Quite sure."),
)
ASR = row(
    "r1", "asr", said("user", None, "Write it down."), said("user", 200, None),
    said("assistant", None, "hello"), language="en", license="CC0", split="test",
)  # fmt: skip


class Work:
    """A WORKDIR with nothing but corpora."""

    def __init__(self, place: Path | str) -> None:
        self.store = Store.open(place)
        self.tables: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.number = 0

    def build(self, **tables: list[dict[str, Any]]) -> Snapshot:
        """Make a snapshot; a table is named corpus__shard."""
        self.number += 1
        lineage = []
        for name, rows in tables.items():
            corpus, _, shard = name.partition("__")
            digest = abs(hash(repr(rows)))
            key = f"stages/{corpus}/{shard}-{digest}.parquet"
            self.store.write_table(key, pa.Table.from_pylist(rows, SCHEMA))
            lineage.append(
                {"lineage_id": "l", "shard_id": shard, "stage": corpus, "fingerprint": "f",
                 "output": key}
            )  # fmt: skip
        counts = {name.partition("__")[0]: 1 for name in tables}
        snapshot = Snapshot(self.number, None, "", "", "", "0", 1, 1000, 0, counts)
        self.store.write_table(
            f"{snapshot.folder}/lineage.parquet", pa.Table.from_pylist(lineage, LINEAGE_SCHEMA)
        )
        return snapshot


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "W")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def written(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "data.jsonl").read_text("utf-8").splitlines()]


def run(
    work: Work, snapshot: Snapshot, made: Format, out: Path | str, audio: AudioOptions = WAV,
    selection: Selection = EVERYTHING,
) -> Exported:  # fmt: skip
    return export(work.store, snapshot, made, Store.open(out), audio, selection)


def sound(path: Path) -> tuple[np.ndarray, int]:
    samples, rate = soundfile.read(path, dtype="float32")
    return samples, rate


def test_kimi_jsonl_has_paths_texts_and_both(work: Work, out: Path) -> None:
    snapshot = work.build(sft__a=[ASR], sft_spoken__b=[CHAT, TALK])
    assert run(work, snapshot, KimiJsonl(), out).rows == 3
    asr, chat, talk = written(out)
    assert asr["task_type"] == chat["task_type"] == "understanding"
    kinds = [(e["role"], e["message_type"]) for e in asr["conversation"]]
    assert kinds == [("user", "text"), ("user", "audio"), ("assistant", "text")]
    assert asr["conversation"][0]["content"] == "Write it down."
    assert chat["conversation"][1]["content"] == "It is **4**."
    assert talk["task_type"] == "speech2speech"
    path, text = talk["conversation"][1]["content"]
    assert talk["conversation"][1]["message_type"] == "audio-text"
    assert text == "It is four."
    samples, rate = sound(out / path)
    assert rate == RATE
    np.testing.assert_allclose(samples, tone(600), atol=1 / 32_000)


def test_messages_of_one_role_are_one(work: Work, out: Path) -> None:
    snapshot = work.build(sft__a=[ASR], sft_spoken__b=[TALK])
    run(work, snapshot, Messages(), out, AudioOptions("flac", 8_000))
    asr, talk = written(out)
    assert [m["role"] for m in asr["messages"]] == ["user", "assistant"]
    first, second = asr["messages"][0]["content"]
    assert first == {"type": "text", "text": "Write it down."}
    assert soundfile.info(out / second["audio"]).samplerate == 8_000
    assert soundfile.info(out / second["audio"]).format == "FLAC"
    assert (asr["task"], asr["language"], asr["license"]) == ("asr", "en", "CC0")
    parts = [part["type"] for part in talk["messages"][1]["content"]]
    assert parts == ["audio", "text"]


def test_the_assistant_is_on_the_left(work: Work, out: Path) -> None:
    snapshot = work.build(sft_spoken__b=[CHAT, TALK])
    assert run(work, snapshot, Stereo(), out).left_out == 1  # an answer that nobody speaks
    (line,) = written(out)
    samples, rate = sound(out / line["path"])
    assert line["duration"] == pytest.approx(len(samples) / rate, abs=0.001)
    transcript = json.loads((out / line["path"]).with_suffix(".json").read_text("utf-8"))
    speech: dict[str, list[float]] = {}
    for word, (start, end), speaker in transcript["alignments"]:
        assert word
        side = 0 if speaker == "SPEAKER_MAIN" else 1
        loud = np.sqrt(np.mean(samples[int(start * rate) : int(end * rate)] ** 2, axis=0))
        assert loud[side] > 0.2
        assert loud[1 - side] < 0.01
        speech.setdefault(speaker, []).extend((start, end))
    words = [word for word, _, _ in transcript["alignments"]]
    assert " ".join(words) == "what is it It is four. what is it Quite sure."
    times = [t for _, (start, end), _ in transcript["alignments"] for t in (start, end)]
    assert times == sorted(times)
    turns = [start for word, (start, _), _ in transcript["alignments"] if word in ("what", "It")]
    assert turns[1] - turns[0] == pytest.approx(0.8, abs=0.03)  # speech and gap


def test_a_second_export_writes_nothing_and_a_third_what_changed(work: Work, out: Path) -> None:
    one = work.build(sft__a=[ASR], sft_spoken__b=[CHAT])
    assert run(work, one, KimiJsonl(), out) == Exported(2, 0, 2, 0, 0)
    files = {path: path.stat().st_mtime_ns for path in out.rglob("*.wav")}
    assert run(work, one, KimiJsonl(), out) == Exported(2, 0, 0, 2, 0)
    two = work.build(sft__a=[ASR], sft_spoken__b=[TALK])
    assert run(work, two, KimiJsonl(), out) == Exported(2, 0, 1, 1, 1)
    left = {path: path.stat().st_mtime_ns for path in out.rglob("*.wav")}
    assert sum(path in left and left[path] == time for path, time in files.items()) == 1
    named = {c for line in written(out) for e in line["conversation"]
             for c in ([e["content"]] if isinstance(e["content"], str) else e["content"][:1])
             if c.startswith("audio/")}  # fmt: skip
    assert {str(path.relative_to(out)) for path in left} == named
    fresh = out.with_name("fresh")
    run(work, two, KimiJsonl(), fresh)
    assert (fresh / "data.jsonl").read_bytes() == (out / "data.jsonl").read_bytes()


def test_a_killed_export_goes_on(work: Work, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = work.build(sft__a=[ASR], sft_spoken__b=[CHAT], sft_spoken__c=[TALK])
    real, calls = KimiJsonl.lines, []

    def dying(self: Any, row: Any, folder: Any) -> Any:
        calls.append(row["sample_id"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, row, folder)

    monkeypatch.setattr(KimiJsonl, "lines", dying)
    with pytest.raises(KeyboardInterrupt):
        run(work, snapshot, KimiJsonl(), out)
    assert not (out / "data.jsonl").exists()
    assert run(work, snapshot, KimiJsonl(), out) == Exported(3, 0, 1, 2, 0)


def test_a_split_alone(work: Work, out: Path) -> None:
    snapshot = work.build(sft__a=[ASR, replace_id(ASR, "r2", "train")])
    run(work, snapshot, Messages(), out, selection=Selection("train"))
    assert [line["id"] for line in written(out)] == ["r2"]


def replace_id(row: dict[str, Any], name: str, split: str) -> dict[str, Any]:
    return {**row, "sample_id": name, "split": split}


def test_another_folder_is_left_alone(work: Work, out: Path) -> None:
    snapshot = work.build(sft__a=[ASR])
    run(work, snapshot, KimiJsonl(), out)
    with pytest.raises(ConfigError, match="with other settings"):
        run(work, snapshot, Messages(), out)
    with pytest.raises(ConfigError, match="with other settings"):
        run(work, snapshot, KimiJsonl(), out, AudioOptions("flac"))
    other = out.with_name("photos")
    other.mkdir()
    (other / "cat.jpg").write_bytes(b"a cat")
    with pytest.raises(ConfigError, match="holds other files"):
        run(work, snapshot, KimiJsonl(), other)
    assert [path.name for path in other.iterdir()] == ["cat.jpg"]
    empty = replace(snapshot, rows={"sft": 0, "pretrain": 3})
    with pytest.raises(ConfigError, match="has no rows in sft or sft_spoken"):
        run(work, empty, KimiJsonl(), out)


def test_an_object_store(work: Work, s3: ObjectStore) -> None:
    snapshot = work.build(sft_spoken__b=[TALK])
    place = s3.url("exports")
    assert run(work, snapshot, Stereo(), place).rows == 1
    assert run(work, snapshot, Stereo(), place).kept == 1
    to = Store.open(place)
    line = json.loads(to.read_text("data.jsonl") or "")
    with to.open_file(line["path"]) as file:
        assert soundfile.info(io.BytesIO(file.read())).channels == 2


def test_the_command_names_every_format(tmp_path: Path) -> None:
    told = " ".join(wavemill("export", "--help").stdout.replace("│", " ").split())
    assert all(f"{name}:" in told for name in FORMATS)
    done = wavemill("export", tmp_path / "none", "-f", "kimi-jsonl", "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "holds no snapshot" in done.stderr
    done = wavemill("export", tmp_path / "none", "-f", "kimi", "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "there is no format 'kimi'; there are kimi-jsonl" in done.stderr
