"""Whisper tiny.en of a wheel, on real speech."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
import soundfile
import soxr

from tests.stages.verdict.scores import Asr, Judge
from tests.support import ROOT
from wavemill.stages.engine import EngineUnavailable, selected_engine
from wavemill.stages.text import normalize
from wavemill.stages.transcribe.engine import Transcript
from wavemill.stages.transcribe.faster_whisper import (
    FasterWhisper,
    FasterWhisperConfig,
    PackingConfig,
    _Aligned,
    _with_punctuation,
)
from wavemill.stages.transcribe.faster_whisper_weights import TINY_EN, identity, model_folder
from wavemill.stages.transcribe.stage import Config, Transcribe
from wavemill.stages.verdict.stage import with_engine

RATE = 16_000
EXAMPLES = ROOT / "examples"
NAME = "clean_dialogue.flac"
LONGEST = 30 * RATE
COMMIT = "0123456789" * 4
ANY_RATE = PackingConfig(min_words_per_second=0, max_words_per_second=100)


@pytest.fixture(scope="module")
def engine() -> FasterWhisper:
    return loaded(FasterWhisperConfig())


@pytest.fixture(scope="module")
def dialogue() -> tuple[list[np.ndarray], list[str]]:
    """Return the turns of a recording, and what is said in them."""
    samples, rate = soundfile.read(EXAMPLES / "recordings" / NAME, dtype="float32")
    samples = soxr.resample(samples, rate, RATE)
    lines = (EXAMPLES / "truth" / "transcripts.jsonl").read_text("utf-8").splitlines()
    turns = next(row["turns"] for row in map(json.loads, lines) if row["recording"] == NAME)
    cuts = [(max(0, int((t["start"] - 0.1) * RATE)), int((t["end"] + 0.1) * RATE)) for t in turns]
    return [samples[start:end] for start, end in cuts], [turn["text"] for turn in turns]


def loaded(config: FasterWhisperConfig) -> FasterWhisper:
    engine = FasterWhisper(config)
    engine.check()
    engine.load("cpu")
    return engine


def word_error(truth: list[str], found: list[Transcript]) -> float:
    return jiwer.wer([normalize(t) for t in truth], [normalize(f.text) for f in found])


def test_clips_in_shared_windows(
    engine: FasterWhisper, dialogue: tuple[list[np.ndarray], list[str]]
) -> None:
    clips, truth = dialogue
    found = engine.transcribe(clips)
    assert word_error(truth, found) < 0.1
    for clip, transcript in zip(clips, found, strict=True):
        assert transcript.text == " ".join(word.word for word in transcript.words)
        believed = transcript.asr_confidence >= engine.config.min_confidence
        assert transcript.language == ("en" if believed else "und")
        assert transcript.language_probability is None
        assert 0.3 < transcript.asr_confidence <= 1
        edges = [edge for word in transcript.words for edge in (word.start_ms, word.end_ms)]
        assert edges == sorted(edges)
        assert edges[0] >= 0
        assert edges[-1] <= clip.size * 1000 // RATE
        assert transcript.avg_logprob is not None
        assert transcript.avg_logprob < 0
        assert transcript.compression_ratio is not None
    assert engine.transcribe(clips) == found  # nothing is drawn, nothing is remembered


def test_a_word_of_a_window_is_one_clip_s_alone(
    engine: FasterWhisper,
    dialogue: tuple[list[np.ndarray], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where two clips say the same: one word after the other, none twice, none lost."""
    clips = [clip for clip in dialogue[0] for _ in range(2)]  # each is echoed
    windows = []
    decoded = engine._decoded

    def noted(audio: list[np.ndarray]) -> list[Any]:
        found = decoded(audio)
        windows.append([[word.text.strip() for word in one.words] for one in found])
        return found

    monkeypatch.setattr(engine, "_decoded", noted)
    config = FasterWhisperConfig(packing=ANY_RATE, compression_ratio=100)  # none goes alone
    monkeypatch.setattr(engine, "config", config)
    found = engine.transcribe(clips)
    shared, alone = windows
    assert alone == []
    assert [word.word for one in found for word in one.words] == [w for one in shared for w in one]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([" E", "-R", ".", " And"], [" E-R.", " And"]),
        ([" twenty", "-one", " at", " 3", ".5", "%"], [" twenty-one", " at", " 3.5", "%"]),
        ([" and", "/or", " so", "."], [" and/or", " so."]),
        ([" -", "one", " (", "two", ")"], [" -one", " (two)"]),
        (["你", "好", "，", "世", "界", "。"], ["你", "好，", "世", "界。"]),
    ],
)
def test_a_word_with_a_mark_inside_is_one(parts: list[str], words: list[str]) -> None:
    """It comes in parts, which a pause between two clips would divide among them."""
    aligned = [_Aligned(text, at, at + 0.5, np.ones(1)) for at, text in enumerate(parts)]
    found = _with_punctuation(aligned)
    assert [word.text for word in found] == words
    assert sum(len(word.probabilities) for word in found) == len(parts)
    if words[0] == " E-R.":
        assert (found[0].start, found[0].end) == (0, 1.5)


def test_a_window_each(dialogue: tuple[list[np.ndarray], list[str]]) -> None:
    clips, truth = dialogue
    engine = loaded(FasterWhisperConfig(packing=None, batch_size=3))
    found = engine.transcribe(clips[:4])
    assert word_error(truth[:4], found) < 0.2
    again = engine.transcribe(clips[:4][::-1])[::-1]  # other batches: floats are rounded otherwise
    assert [one.text for one in again] == [one.text for one in found]


def test_a_clip_that_is_longer_than_a_window(
    engine: FasterWhisper, dialogue: tuple[list[np.ndarray], list[str]]
) -> None:
    clips, truth = dialogue
    pause = np.zeros(RATE // 2, np.float32)
    long = np.concatenate([part for clip in clips for part in (clip, pause)])
    long, texts = (long, truth) if long.size > LONGEST else (np.tile(long, 2), truth * 2)
    assert long.size > LONGEST
    (found,) = engine.transcribe([long])
    assert jiwer.wer(normalize(" ".join(texts)), normalize(found.text)) < 0.25
    edges = [edge for word in found.words for edge in (word.start_ms, word.end_ms)]
    assert edges == sorted(edges)
    assert edges[-1] > 30_000


def test_nothing_to_hear(engine: FasterWhisper) -> None:
    silent = [np.zeros(0, np.float32), np.zeros(1, np.float32), np.zeros(5 * RATE, np.float32)]
    for transcript in engine.transcribe(silent):
        assert transcript == Transcript("", (), "und", 0.0)
    noise = np.random.default_rng(0).normal(0, 0.05, 5 * RATE).astype(np.float32)
    (found,) = engine.transcribe([noise])
    assert found.asr_confidence < 0.6
    assert found.language == "und"
    assert found.no_speech_prob is not None


def test_a_folder_is_the_same_model(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model_folder("bundled", None), folder)
    named, bundled = FasterWhisperConfig(model=str(folder)), FasterWhisperConfig()
    assert FasterWhisper(named).weights_identity() == FasterWhisper(bundled).weights_identity()
    assert named.fingerprinted() == bundled.fingerprinted()
    (folder / "model.bin").unlink()
    with pytest.raises(EngineUnavailable, match=r"has no model\.bin"):
        FasterWhisper(named).check()


@pytest.mark.parametrize("model", ["no/such/folder", "tiny.fr"])
def test_a_model_that_is_not_there(model: str) -> None:
    with pytest.raises(EngineUnavailable, match=r"is no folder; remedy: set transcribe\.faster"):
        FasterWhisper(FasterWhisperConfig(model=model)).weights_identity()


def test_a_named_model_that_cannot_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    engine = FasterWhisper(FasterWhisperConfig(model="small", download_root=str(tmp_path)))
    for call in (engine.weights_identity, engine.check):
        with pytest.raises(EngineUnavailable, match=r"faster-whisper-small cannot be fetched"):
            call()
    commit = engine.config.model_copy(update={"revision": COMMIT})
    with pytest.raises(EngineUnavailable, match="was not fetched yet"):
        FasterWhisper(commit).check()


def test_the_bundled_files_are_pinned() -> None:
    for file in TINY_EN:
        assert file.checked().is_file()


def test_the_commit_of_a_named_model_identifies_it() -> None:
    repository = "mobiuslabsgmbh/faster-whisper-large-v3-turbo"
    assert identity("large-v3-turbo", None, COMMIT) == f"{repository}@{COMMIT}"
    config = FasterWhisperConfig(model="large-v3-turbo", revision=COMMIT)
    assert FasterWhisper(config).weights_identity() == f"{repository}@{COMMIT}"


def test_the_rule_follows_what_the_engine_believes() -> None:
    """Once declared: below it a text has no language, and is rejected."""
    assert Config().faster_whisper.min_confidence == 0.6
    section = {"faster_whisper": {"min_confidence": 0.4}}
    engine = selected_engine(Config(**section), Transcribe.engines)
    judging = with_engine(Judge.Settings(), engine.thresholds())
    assert judging.asr.min_asr_confidence == 0.4
    # A threshold of one's own holds.
    own = with_engine(Judge.Settings(asr=Asr(min_asr_confidence=0.5)), engine.thresholds())
    assert own.asr.min_asr_confidence == 0.5
