"""wavemill generate and wavemill model inspect on a tiny random model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner

from jobs.generate import generate
from jobs.model_inspect import model_app
from model.inspection import inspect
from model.llm.config import preset
from model.llm.network import AudioLlm
from tests.model.tiny import save_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_tiny_model(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audio") / "clip.wav"
    noise = np.random.default_rng(0).standard_normal((22_050, 2)).astype(np.float32)
    soundfile.write(path, 0.1 * noise, 22_050)
    return path


def run(app: typer.Typer, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def generate_app() -> typer.Typer:
    app = typer.Typer()
    app.command()(generate)
    return app


def test_generate_writes_speech(folder: Path, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "reply.wav"
    options = ["--audio", str(clip), "--instruction", "listen", "--output", "both"]
    code, text = run(
        generate_app(), str(folder), *options, "--max-new-tokens", "20", "--out", str(out)
    )
    assert (code, "s of speech in" in text) == (0, True)
    assert soundfile.info(out).samplerate == 24_000


def test_generate_says_what_is_wrong(folder: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ([str(folder)], "give --audio, --instruction"),
        ([str(tmp_path / "none"), "--instruction", "x"], "there is no folder"),
        ([str(folder), "--audio", str(tmp_path / "none.wav")], "none.wav"),
        ([str(folder), "--instruction", "x" * 3000], "leaves no room"),
    ):
        code, text = run(generate_app(), *arguments)
        assert code == 2
        assert message in " ".join(text.replace("│", " ").split())


def test_inspect(folder: Path, tmp_path: Path) -> None:
    assert [part.problems for part in inspect(folder)] == [()] * 5
    code, text = run(model_app, "inspect", str(folder))
    assert (code, text.count("complete")) == (0, 5)
    broken = tmp_path / "broken"
    AudioLlm(preset("tiny").model_copy(update={"audio_layers": 1})).save_pretrained(broken)
    config = (folder / "config.json").read_bytes()
    (broken / "config.json").write_bytes(config)
    code, text = run(model_app, "inspect", str(broken))
    assert code == 1
    assert "tensor model.mimo_layers.1.self_attn.q_proj.weight is missing" in text
    assert "vocoder: there is no such folder" in text
    assert run(model_app, "inspect", str(tmp_path / "none"))[0] == 2
