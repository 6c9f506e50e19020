"""What every stage makes of two small recordings, by stage and version: it never changes silently.

Outputs are kept for good, so a stage whose output changes has a new version. Here each stage runs
on a raw and a labelled recording; `golden.json` has a hash of its rows beside its identity (name,
version, settings, and the same of its inputs). After a change on purpose, with the new version:

    python -m tests.pipeline.test_golden

Only what is the same on every CPU is pinned. Simple exact engines stand in place of the models,
floats are rounded to four digits, stored audio is compared as samples. Not covered, therefore:
the real engines (their outputs differ by rounding between CPUs and versions of packages; their
own tests have tolerances), decoding of lossy formats, resampling of what is stored, several
channels, and damaged recordings.
"""

from __future__ import annotations

import json
import wave
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.stages.diarize.sound import Script
from tests.support import ROOT, MemoryUpstream
from wavemill.manifests.identify import content_id
from wavemill.manifests.recording import Item, Recording, Task
from wavemill.pipeline.curation import STAGES
from wavemill.pipeline.digest import digest_of
from wavemill.pipeline.graph import ConfiguredStage, Graph
from wavemill.stages.audio.flac import decode_flac
from wavemill.stages.denoise.engine import DenoiseEngine
from wavemill.stages.diarize.engine import Turn
from wavemill.stages.engine import Engine, EngineConfig
from wavemill.stages.recording_stage import SpanError
from wavemill.stages.score_audio.engine import Quality, QualityEngine
from wavemill.stages.stage import EngineStage, Stage
from wavemill.stages.tokenize.engine import TokenizeEngine
from wavemill.stages.tokenize_text.engine import TextTokenizeEngine
from wavemill.stages.transcribe.engine import TranscribeEngine, Transcript, Word

PINNED = ROOT / "tests" / "data" / "golden.json"
COMMAND = "python -m tests.pipeline.test_golden"
RATE = 48_000
SECONDS = 8
SETTINGS = {"denoise": {"recordings": "all"}}  # the raw recording is published as it is


class Exact(Engine[EngineConfig]):
    """What the engines of this test share: nothing to load."""

    sample_rate = RATE

    def weights_identity(self) -> str:
        return "none"

    def load(self, device: str) -> None:
        del device


class Quieter(Exact, DenoiseEngine[EngineConfig]):
    name = "quieter"

    def enhance(self, audio: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        for block in audio:
            yield block / 2


class Turns(Script):
    turns = (Turn(500, 3500, 0), Turn(3600, 4100, 1), Turn(5000, 7500, 1))


class Dictation(Exact, TranscribeEngine[EngineConfig]):
    name = "dictation"

    def transcribe(self, clips: Sequence[np.ndarray]) -> list[Transcript]:
        return [self._of(clip.size * 1000 // RATE) for clip in clips]

    def thresholds(self) -> Mapping[str, float]:
        return {"min_asr_confidence": 0.35}

    def _of(self, clip_ms: int) -> Transcript:
        half = clip_ms // 2
        words = (Word("one", 0, half, 0.75), Word("two", half, clip_ms, 0.5))
        return Transcript("one two", words, "en", 0.625, 0.875, -0.5, 0.125)


class Peak(Exact, QualityEngine[EngineConfig]):
    name = "peak"

    def quality(self, clips: Sequence[np.ndarray]) -> list[Quality | None]:
        return [Quality(1 + 4 * float(np.abs(clip).max()), 3.0, 2.0) for clip in clips]


class Loudest(Exact, TokenizeEngine[EngineConfig]):
    name = "loudest"
    vocab_size = 32_768

    def tokens(self, clips: Sequence[np.ndarray], counts: Sequence[int]) -> list[np.ndarray]:
        return [self._of(clip, count) for clip, count in zip(clips, counts, strict=True)]

    def _of(self, clip: np.ndarray, count: int) -> np.ndarray:
        size = RATE * 80 // 1000
        frames = np.zeros((count, size), np.float32)
        frames.reshape(-1)[: clip.size] = clip[: frames.size]
        return np.rint(np.abs(frames).max(axis=1) * 32_767).astype(np.int32)


class Letters(Exact, TextTokenizeEngine[EngineConfig]):
    name = "letters"
    vocab_size = 256

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [list(text.encode()) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode()


EXACT: tuple[type[Engine[Any]], ...] = (Quieter, Turns, Dictation, Peak, Loudest, Letters)


def exact_engine(stage: type[EngineStage[Any, Any]]) -> Engine[Any]:
    """Return the exact engine that can stand in for those of a stage."""
    families = [set(engine.__mro__) - set(Engine.__mro__) for engine in stage.engines.values()]
    family = set.intersection(*families)
    found = [exact for exact in EXACT if family & set(exact.__mro__)]
    assert found, f"stage {stage.name} has engines of a new kind: add an exact one to EXACT here"
    return found[0](found[0].Config())


def exact_stage(stage: type[Stage[Any]]) -> Stage[Any]:
    settings = stage.Settings(**SETTINGS.get(stage.name, {}))
    if issubclass(stage, EngineStage):
        return stage(settings, engine=exact_engine(stage))
    return stage(settings)


def configured(stage: Stage[Any]) -> ConfiguredStage:
    """Return what makes the identity of a stage, without that of the real engines."""
    shared = stage.shared_settings.model_dump(mode="json", include=set(stage.shared))
    engines = set(stage.engines) if isinstance(stage, EngineStage) else set()
    own = stage.settings.model_dump(mode="json", exclude={"engine", "device", *engines})
    if not engines:
        own = stage.parameters()
    return ConfiguredStage(
        stage.name,
        stage.version,
        stage.inputs,
        stage.schema,
        {**own, **shared},
        lambda _: stage,
        selected_by=stage.selected_by,
        corpus=stage.corpus,
    )


@dataclass(frozen=True)
class Made:
    """What a stage made, and of what it is."""

    identity: str
    version: int
    rows: str  # hash


def recordings(folder: Path) -> list[Recording]:
    """Write two files; return a raw recording and one with items, named from `folder`.

    Of both some segments are kept, by the default thresholds, and others are not.
    """
    time = np.arange(SECONDS * RATE)
    tone = time % 480 - 240  # 100 Hz
    noise = np.random.default_rng(0).integers(-20, 21, tone.size)
    bursts = np.where((time // (RATE // 4) % 2 == 0) | (time >= 4 * RATE), 40 + time // RATE, 0)
    labelled = tone * (40 + time // (RATE // 10))
    for name, samples in (("raw.wav", tone * bursts + noise), ("labelled.wav", labelled)):
        with wave.open(str(folder / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(samples.astype("<i2").tobytes())
    items = (
        Item("a", 0, 2000, text="one two three", speaker="ann", language="en"),
        Item("b", 2000, 2050, text="too short"),
        Item("c", 3000, 6000, task=Task.AQA, question="What is it?", answer="A tone."),
    )
    length = SECONDS * 1000
    return [
        Recording(content_id(str(folder / "raw.wav")), "raw.wav", length),
        Recording(content_id(str(folder / "labelled.wav")), "labelled.wav", length, items=items),
    ]


def made(folder: Path) -> dict[str, Made]:
    """Run all stages on recordings in `folder`, which has to be the current one."""
    alone = {declared.name: exact_stage(declared) for declared in STAGES}
    stages = [stage.beside(alone) for stage in alone.values()]
    graph = Graph(configured(stage) for stage in stages)
    tables: dict[str, pa.Table] = {}
    found = recordings(folder)
    for stage in stages:
        batches: list[pa.RecordBatch] = []
        for recording in found:
            for batch in stage(recording, MemoryUpstream(recording.recording_id, tables)):
                assert not isinstance(batch, SpanError), batch
                batches.append(batch)
        tables[stage.name] = pa.Table.from_batches(batches, stage.schema)
        assert len(tables[stage.name]), f"{stage.name} made no rows: nothing would be pinned"
    by_recording = [
        {row["kept"] for row in MemoryUpstream(r.recording_id, tables).table("verdict").to_pylist()}
        for r in found
    ]
    assert by_recording == [{True, False}] * 2
    return {
        stage.name: Made(
            graph.fingerprints[stage.name],
            stage.version,
            digest_of(plain(tables[stage.name].to_pylist())),
        )
        for stage in stages
    }


def plain(value: Any) -> Any:
    """Return a value with floats rounded and FLAC as a hash of its samples."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, bytes):
        samples, rate = decode_flac(value)
        return [rate, digest_of(np.rint(samples * 32_768).astype(int).tolist())]
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return value


def check(pinned: dict[str, Made], now: dict[str, Made]) -> None:
    """Fail, and say what to do, where `now` is not what is pinned."""
    for name, one in now.items():
        was = pinned.get(name)
        if was is not None and was.identity == one.identity:
            assert one.rows == was.rows, (
                f"the output of {name} has changed, and its version is {one.version} still: raise "
                f"the version (or take the change back), and then run {COMMAND}"
            )
        assert one == was, f"{name} or an input of it has a new version or setting: run {COMMAND}"
    assert pinned.keys() == now.keys(), f"there are other stages: run {COMMAND}"


def test_no_output_changes_without_a_new_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check(
        {name: Made(**row) for name, row in json.loads(PINNED.read_text("utf-8")).items()},
        made(tmp_path),
    )


def test_it_says_what_to_do() -> None:
    was = {"a": Made("1", 1, "x")}
    check(was, dict(was))
    for now, message in (
        (
            {"a": Made("1", 1, "y")},
            "the output of a has changed, and its version is 1 still: raise",
        ),
        ({"a": Made("2", 2, "y")}, "a or an input of it has a new version or setting: run"),
        ({**was, "b": Made("3", 1, "z")}, "b or an input of it has a new version"),
        ({}, "there are other stages: run"),
    ):
        with pytest.raises(AssertionError, match=message):
            check(was, now)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.chdir(name)
        golden = {stage: vars(one) for stage, one in made(Path(name)).items()}
    PINNED.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
