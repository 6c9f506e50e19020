"""The command `wavemill serve`, as far as it goes without Ray."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.command import wavemill
from wavemill.jobs import extras
from wavemill.model.creation import create

pytest.importorskip("openai")  # the tests also run without the extra `serve`


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve") / "tiny"
    create(folder, "tiny")
    return folder


def test_one_spoken_turn(model: Path, tmp_path: Path) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text("answers: {most_tokens: 20}\n", encoding="utf-8")
    done = wavemill(
        "serve", model, "--executor", "inline", "--port", 0, "--check", "--config", config
    )
    assert done.returncode == 0, done.stderr
    assert "first audio" in done.stdout
    assert "real-time factor" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "there are no keys"),
        (["--store", "somewhere"], "neither memory nor sqlite"),
        (["--say", "a.wav"], "give both"),
        (["--keys", "no-such-file"], "no-such-file"),
        (["--device", "cuda"], "there is no 'cuda' here"),
    ],
)
def test_what_a_person_can_mend_is_one_line(model: Path, arguments: list[str], said: str) -> None:
    done = wavemill("serve", model, "--executor", "inline", "--port", 0, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_field_is_named(model: Path, tmp_path: Path) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text("turns: {threshold: 2}\n", encoding="utf-8")
    done = wavemill("serve", model, "--config", config)
    assert done.returncode == 2
    assert "turns.threshold" in done.stderr


def test_a_port_that_is_taken_is_named(model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = wavemill("serve", model, "--port", port)
    assert (done.returncode, f"port {port} is taken" in done.stderr) == (2, True)


def test_a_missing_package_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "fastapi" else object())
    done = wavemill("serve", model)
    assert done.returncode == 2
    assert "pip install 'wavemill[serve]'" in done.stderr
