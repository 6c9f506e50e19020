"""From a corpus to an LLM that reads texts aloud, and what of it is heard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from tests.model.data.made import segment_row, write
from wavemill.jobs.cli import app
from wavemill.model.assistant import Assistant
from wavemill.model.creation import create
from wavemill.model.generate.settings import GenerateSettings
from wavemill.model.io.folders import WeightsError
from wavemill.pipeline.config import ConfigError
from wavemill.stages.tokenize.codebook import SHIPPED, codebook_identity

WORDS = {"one": 3, "two": 5, "four": 7}  # and how many tokens each of them lasts
SMALL = ["network.llm.hidden_size=64", "network.llm.intermediate_size=128",
         "network.acoustic.d_model=16", "network.acoustic.encoder_ffn_dim=32",
         "data.positions=64", "data.held_out_split=test", "weights={tts: 1.0}", "tokens=4500",
         "loop.optimizer.learning_rate=3e-3"]  # fmt: skip


def wavemill(*told: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in told], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus `work`, an LLM `speak/model` and a random model `model`."""
    place = tmp_path_factory.mktemp("place")
    rows = [
        segment_row(recording, 0, text=text, split=split)
        for split in ("train", "test")
        # A row lasts as many tokens as these numbers tell `segment_row`.
        for text, recording in zip(WORDS, (0, 2, 4), strict=True)
    ]
    told = {
        "semantic_tokenizer": f"kmeans {codebook_identity(SHIPPED)}",
        "semantic_vocab_size": "2048",
    }
    write(place / "work", "pretrain", [rows], metadata=told)
    assert [len(row["semantic_tokens"]) for row in rows[:3]] == list(WORDS.values())
    fields = [part for field in SMALL for part in ("--set", field)]
    wavemill("train", "pretrain", "--corpus", place / "work", "--out", place / "speak",
             "--executor", "inline", *fields)  # fmt: skip
    create(place / "model", "tiny")
    return place


def test_a_text_is_said_with_the_tokens_that_were_learnt(place: Path, tmp_path: Path) -> None:
    for text, tokens in WORDS.items():
        out = tmp_path / f"{text}.wav"
        wavemill("generate", place / "speak" / "model", "--say", text, "--audio-temperature", "0",
                 "--detokenizer", place / "model", "--out", out)  # fmt: skip
        assert soundfile.info(out).frames == tokens * 1920


def test_it_is_heard_beside_the_recordings(place: Path, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    shown = wavemill(
        "resynthesise", place / "model", "--corpus", place / "work", "--out", heard,
        "--words", ",".join(WORDS), "--speaker", place / "speak" / "model",
        "--speaker-temperature", "0", "--listener", place / "model",
    )  # fmt: skip
    rows = [line for line in shown.splitlines() if line.startswith("| ")]
    assert [row.split("|")[1].strip() for row in rows[1:]] == [
        "recordings", "mel, vocoder", "mel, Griffin-Lim", "tokens, vocoder", "tokens, Griffin-Lim",
        "text, vocoder", "text, Griffin-Lim",
    ]  # fmt: skip
    lines = [
        json.loads(line)
        for line in (heard / "segments.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert {line["measure"] for line in lines} == {
        "mel_distance_db", "dnsmos_overall", "heard_right", "heard_by_model",
    }  # fmt: skip
    values = {(line["way"], line["measure"]): line["value"] for line in lines}
    assert values["tokens, vocoder", "mel_distance_db"] > 0
    assert values["text, vocoder", "mel_distance_db"] is None  # it may last as long as it likes
    assert values["text, Griffin-Lim", "heard_right"] in (0, 1)
    assert values["text, Griffin-Lim", "heard_by_model"] == 0  # a random model
    said = {soundfile.info(p).frames for p in (heard / "sounds" / "text-griffin-lim").iterdir()}
    assert said == {tokens * 1920 for tokens in WORDS.values()}


def test_what_cannot_be_said_is_told(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.wav"
    for told, message in (
        (["generate", place / "model", "--say", "one", "--instruction", "x"], "--say: a text"),
        (["generate", place / "model", "--say", "", "--out", out], "there is no text to read"),
        (["resynthesise", place / "model", "--corpus", place / "work", "--out", tmp_path / "h",
          "--listener", tmp_path / "none"], "there is no folder"),
        (["resynthesise", place / "model", "--corpus", place / "work", "--out", tmp_path / "h",
          "--speaker", tmp_path / "none"], "there is no folder"),
    ):  # fmt: skip
        with pytest.raises((ConfigError, WeightsError), match=message):
            CliRunner().invoke(app, [str(word) for word in told], catch_exceptions=False)


def test_a_text_is_said_in_the_voice_of_a_recording(place: Path, tmp_path: Path) -> None:
    """The recording and its words stand before the text; what is said in it can be told."""
    voice = tmp_path / "voice.wav"
    rng = np.random.default_rng(0)
    soundfile.write(voice, 0.1 * rng.standard_normal(2 * 16_000), 16_000)
    told = ("generate", place / "speak" / "model", "--say", "one", "--detokenizer",
            place / "model", "--max-new-tokens", "8", "--voice", voice)  # fmt: skip
    sounds = []
    for words in ("four", "two one", ""):
        wavemill(*told, "--voice-text", words, "--out", tmp_path / "out.wav")
        sounds.append(soundfile.read(tmp_path / "out.wav")[0])
    assert not np.array_equal(sounds[0], sounds[1]) or not np.array_equal(sounds[0], sounds[2])


def test_several_texts_are_said_at_once_as_each_is_alone(place: Path) -> None:
    model = Assistant.from_pretrained(place / "speak" / "model", detokenizer=place / "model")
    settings = GenerateSettings(max_new_tokens=8, seed=3)
    reference = model.reference(np.zeros(16_000, np.float32), "two")
    both = model.say_all(["one", "four"], settings, reference=reference)
    for text, sound in zip(("one", "four"), both, strict=True):
        pieces = model.say(text, settings, reference=reference)
        alone = torch.cat([piece.audio for piece in pieces])
        torch.testing.assert_close(sound, alone, atol=1e-4, rtol=1e-3)
