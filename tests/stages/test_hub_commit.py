"""Models that the hub's cache has: known by their commit, also without a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wavemill.pipeline.config import load_config
from wavemill.pipeline.curation import Config, make_graph
from wavemill.stages.declared import HubFiles
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.tokenize.whisper_vq import WhisperVq, WhisperVqConfig
from wavemill.stages.transcribe.by_language import ByLanguage, ByLanguageConfig
from wavemill.stages.transcribe.faster_whisper import FasterWhisper, FasterWhisperConfig
from wavemill.stages.transcribe.faster_whisper_weights import BUNDLED, model_folder
from wavemill.stages.transcribe.paraformer import Paraformer, ParaformerConfig

pytest.importorskip("huggingface_hub")

REPOSITORY = "Systran/faster-whisper-tiny.en"
COMMIT, OTHER = "0123456789abcdef" * 2 + "01234567", "f" * 40


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As the hub's client lays it out, with the bundled model under its name; no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    snapshot = cached(tmp_path, REPOSITORY, COMMIT) / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for file in model_folder(BUNDLED, None).iterdir():
        (snapshot / file.name).symlink_to(file)
    return tmp_path


def cached(cache: Path, repository: str, commit: str) -> Path:
    """Note the commit of the main branch; return the repository's folder."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(commit, encoding="utf-8")
    return folder


def named(cache: Path, revision: str | None = None) -> FasterWhisper:
    fields = {"model": "tiny.en", "download_root": str(cache), "revision": revision}
    return FasterWhisper(FasterWhisperConfig(**fields))  # type: ignore[arg-type]


def test_a_named_model_is_its_commit_and_works_offline(cache: Path) -> None:
    engine = named(cache)
    assert engine.weights_identity() == f"{REPOSITORY}@{COMMIT}"
    assert engine.weights_identity() == named(cache, COMMIT).weights_identity()
    engine.check()
    pinned = FasterWhisper(engine.pinned())
    cached(cache, REPOSITORY, OTHER)  # the branch moves on
    assert pinned.weights_identity() == f"{REPOSITORY}@{COMMIT}"
    assert named(cache).weights_identity() == f"{REPOSITORY}@{OTHER}"
    pinned.load("cpu")
    assert pinned.transcribe([np.zeros(1600, np.float32)])[0].text == ""


def test_what_is_built_names_the_commit(cache: Path) -> None:
    told = ("model=tiny.en", f"download_root={cache}")
    settings = [f"transcribe.faster_whisper.{one}" for one in told]
    graph = make_graph(load_config(Config, "embedded", None, settings))
    stage = graph.stages["transcribe"]
    assert stage.parameters["weights"] == f"{REPOSITORY}@{COMMIT}"
    built = stage.build("cpu")
    assert built.settings.faster_whisper.revision == COMMIT  # type: ignore[attr-defined]


def test_a_revision_that_is_not_known_here(cache: Path) -> None:
    for ask in (named(cache, "v2").weights_identity, named(cache, "v2").pinned):
        with pytest.raises(EngineUnavailable, match=r"tiny\.en cannot be fetched: .*; remedy: "):
            ask()
    assert HubFiles("a/b", "model", (), (), revision=OTHER).commit() == OTHER


def test_other_engines_of_the_hub(cache: Path) -> None:
    cached(cache, "funasr/paraformer-zh", OTHER)
    cached(cache, "THUDM/glm-4-voice-tokenizer", OTHER)
    cached(cache, "Systran/faster-whisper-large-v3", COMMIT)
    for engine in (Paraformer(ParaformerConfig()), WhisperVq(WhisperVqConfig())):
        assert engine.weights_identity().endswith(f"@{OTHER}")
        assert engine.pinned().revision == OTHER
    both = ByLanguage(ByLanguageConfig())
    assert both.weights_identity() == (
        f"whisper=Systran/faster-whisper-large-v3@{COMMIT} paraformer=funasr/paraformer-zh@{OTHER}"
    )
    assert both.pinned().whisper.revision == COMMIT
    assert both.pinned().paraformer.revision == OTHER
    for name in ("funasr/paraformer-zh", "THUDM/glm-4-voice-tokenizer"):
        (cached(cache, name, OTHER) / "refs" / "main").unlink()
    for engine in (Paraformer(ParaformerConfig()), WhisperVq(WhisperVqConfig())):
        with pytest.raises(EngineUnavailable, match=r"cannot be fetched: [^;]*; remedy: set"):
            engine.weights_identity()
