"""wavemill generate and wavemill model on tiny random models, as a user calls them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wavemill.jobs.cli import main
from wavemill.model.assistant import Assistant, Message
from wavemill.model.generate.settings import GenerateSettings
from wavemill.model.inspection import inspect
from wavemill.model.llm.config import preset
from wavemill.model.llm.network import AudioLlm
from wavemill.model.prompt.layout import Role

Result = tuple[int, str, str]  # exit code, standard output, standard error


class Terminal:
    """Runs `wavemill` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str | Path) -> Result:
        self._monkeypatch.setattr(sys, "argv", ["wavemill", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code or 0
        assert isinstance(code, int)
        return code, *self._capsys.readouterr()


@pytest.fixture
def wavemill(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from wavemill.model.creation import create

    folder = tmp_path_factory.mktemp("model") / "tiny"
    create(folder, "tiny")
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audio") / "clip.wav"
    noise = np.random.default_rng(0).standard_normal((22_050, 2)).astype(np.float32)
    soundfile.write(path, 0.1 * noise, 22_050)
    return path


def test_a_model_from_nothing_speaks(wavemill: Terminal, clip: Path, tmp_path: Path) -> None:
    model, plain, voiced = tmp_path / "model", tmp_path / "plain.wav", tmp_path / "voiced.wav"
    assert wavemill("model", "init", "--out", model)[0] == 0
    code, text, _ = wavemill("model", "inspect", model)
    assert (code, text.count("complete")) == (0, 6)
    asked = ["generate", model, "--audio", clip, "--instruction", "listen", "--output", "both"]
    asked += ["--max-new-tokens", "40", "--out"]
    for out, more in ((plain, []), (voiced, ["--voice", clip])):
        code, text, notes = wavemill(*asked, out, *more)
        assert code == 0
        assert "\x1b" not in text
        sound, rate = soundfile.read(out)
        assert rate == 24_000
        assert f"{len(sound) / rate:.2f} s of speech in {out}" in notes
        # A random head also draws ids that are no codes: 34 codes at most, after the delay.
        assert 0 < len(sound) <= 34 * 1920
        assert len(sound) % 1920 == 0
        assert 0.001 < np.sqrt(np.mean(sound**2)) < 0.9
    assert not np.array_equal(soundfile.read(plain)[0], soundfile.read(voiced)[0])


def test_errors_are_one_line(wavemill: Terminal, folder: Path, tmp_path: Path) -> None:
    spoken = ["--instruction", "x", "--output", "both", "--out"]
    long = tmp_path / "long.flac"
    soundfile.write(long, np.random.default_rng(0).standard_normal(16 * 8000) / 10, 8000)
    for arguments, message in (
        ([folder], "there is nothing to answer: give --audio, --instruction, or --say"),
        ([tmp_path / "none", "--instruction", "x"], "there is no folder"),
        ([folder, "--audio", tmp_path / "none.wav"], "none.wav: there is no such file"),
        ([folder, "--instruction", "x" * 3000], "leaves no room for a reply within 2048"),
        (
            [folder, "--instruction", "x", "--text-temperature", "1", "--text-top-k", "9999"],
            "top_k",
        ),
        ([folder, *spoken, tmp_path / "no" / "out.wav"], "--out: there is no folder"),
        ([folder, *spoken, tmp_path / "out.mp4"], "must end in .wav or .flac"),
        ([folder, *spoken, tmp_path / "out.wav", "--voice", long], "--voice: "),
    ):
        code, _, notes = wavemill("generate", *arguments)
        assert code == 2
        (line,) = notes.splitlines()
        assert line.startswith("wavemill: ")
        assert message in line
    code, _, notes = wavemill("model", "init", "--out", folder)
    assert (code, notes) == (2, f"wavemill: --out: {folder} exists and is not an empty folder\n")
    assert wavemill("model", "inspect", tmp_path / "none")[0] == 2


def test_an_absent_package_is_named(
    wavemill: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "wavemill.jobs.extras.find_spec", lambda name: name != "transformers" or None
    )
    code, _, notes = wavemill("generate", folder, "--instruction", "x")
    assert code == 2
    assert notes == (
        "wavemill: package 'transformers' is not installed; remedy: pip install 'wavemill[model]'\n"
    )


def test_inspect_names_what_is_missing(wavemill: Terminal, folder: Path, tmp_path: Path) -> None:
    assert [part.problems for part in inspect(folder)] == [()] * 6
    AudioLlm(preset("tiny").model_copy(update={"audio_layers": 1})).save_pretrained(tmp_path)
    config = (folder / "config.json").read_text(encoding="utf-8")
    (tmp_path / "config.json").write_text(
        config.replace('ase_tokens": 256', 'ase_tokens": 255'), encoding="utf-8"
    )
    code, text, _ = wavemill("model", "inspect", tmp_path)
    assert code == 1
    assert "tensor model.mimo_layers.1.self_attn.q_proj.weight is missing" in text
    assert "acoustic encoder: there is no such folder" in text
    assert "text tokenizer: " in text


def without(folder: Path, names: tuple[str, ...], out: Path) -> Path:
    """Copy a model without some of its folders."""
    shutil.copytree(folder, out, ignore=lambda where, _: names if Path(where) == folder else ())
    return out


def test_a_model_without_detokenizer_is_whole_and_replies_in_text(
    wavemill: Terminal, folder: Path, tmp_path: Path
) -> None:
    trained = without(folder, ("audio_detokenizer", "vocoder"), tmp_path / "run" / "model")
    code, text, _ = wavemill("model", "inspect", trained)
    assert code == 0
    assert "problem" not in text
    assert (text.count("complete"), text.count("not here")) == (4, 2)
    assistant = Assistant.from_pretrained(trained)
    settings = GenerateSettings(max_new_tokens=3)
    pieces = list(assistant.reply([Message(Role.USER, text="Hello")], settings))
    assert not any(len(piece.audio) for piece in pieces)
    spoken = ("--instruction", "x", "--output", "both", "--out", tmp_path / "a.wav")
    code, _, notes = wavemill("generate", trained, *spoken)
    assert (code, len(notes.splitlines())) == (2, 1)


def test_a_detokenizer_alone_is_whole(wavemill: Terminal, folder: Path, tmp_path: Path) -> None:
    kept = ("audio_detokenizer", "vocoder")
    names = tuple(path.name for path in folder.iterdir() if path.name not in kept)
    code, text, _ = wavemill("model", "inspect", without(folder, names, tmp_path / "voice"))
    assert (code, text.count("complete"), text.count("not here")) == (0, 2, 4)
    (tmp_path / "nothing").mkdir()
    code, _, notes = wavemill("model", "inspect", tmp_path / "nothing")
    assert (code, notes) == (2, f"wavemill: {tmp_path / 'nothing'} holds no part of a model\n")


@pytest.mark.parametrize("command", [("generate", "--instruction", "x"), ("model", "inspect")])
def test_the_folder_of_a_training_is_answered_with_its_model(
    wavemill: Terminal, folder: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder, run / "model")
    place = 2 if command[0] == "model" else 1
    code, _, notes = wavemill(*command[:place], run, *command[place:])
    assert code == 2
    assert notes == (f"wavemill: {run} is the folder of a training; its model is {run / 'model'}\n")
