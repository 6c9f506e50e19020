"""The whisper_vq engine on a small random checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wavemill.stages.engine import EngineUnavailable, fingerprint_parameters
from wavemill.stages.tokenize.stage import Config
from wavemill.stages.tokenize.whisper_vq import WhisperVq, WhisperVqConfig

COMMIT, GONE = "0123456789" * 4, "f" * 40


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    from wavemill.model.tokenizer.config import presets
    from wavemill.model.tokenizer.semantic import SemanticTokenizer
    from wavemill.model.tokenizer.vq_encoder import VqEncoder

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("vq") / "random"
    SemanticTokenizer(VqEncoder(presets("tiny")[0]).eval()).save_pretrained(folder)
    return folder


def test_gives_the_wanted_number_of_tokens(weights: Path) -> None:
    engine = WhisperVq(WhisperVqConfig(weights=str(weights)))
    assert (engine.vocab_size, engine.sample_rate) == (2048, 16_000)
    engine.load("cpu")
    rng = np.random.default_rng(0)
    clips = [rng.standard_normal(n).astype(np.float32) / 10 for n in (16_000, 15_900, 16_010, 0)]
    counts = [13, 13, 12, 2]
    found = engine.tokens(clips, counts)
    assert [(len(tokens), tokens.dtype) for tokens in found] == [(n, np.int32) for n in counts]
    assert all(tokens.min() >= 0 and tokens.max() < 2048 for tokens in found)
    alone = [engine.tokens([c], [n])[0] for c, n in zip(clips, counts, strict=True)]
    assert all(map(np.array_equal, found, alone))


def test_identity_is_of_the_content(weights: Path, tmp_path: Path) -> None:
    def fingerprint(folder: Path) -> object:
        config = Config.model_validate(
            {"engine": "whisper_vq", "whisper_vq": {"weights": str(folder)}}
        )
        from wavemill.stages.tokenize.engines import ENGINES

        return fingerprint_parameters(config, ENGINES)

    moved = tmp_path / "moved"
    moved.mkdir()
    for file in weights.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    assert fingerprint(moved) == fingerprint(weights)
    content = bytearray((moved / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (moved / "model.safetensors").write_bytes(content)
    assert fingerprint(moved) != fingerprint(weights)


def test_says_what_is_missing(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"there is no folder nowhere; remedy: set"):
        WhisperVq(WhisperVqConfig(weights="nowhere")).check()
    (tmp_path / "config.json").write_bytes((weights / "config.json").read_bytes())
    with pytest.raises(EngineUnavailable, match=r"cannot read .*model\.safetensors"):
        WhisperVq(WhisperVqConfig(weights=str(tmp_path))).check()
    with pytest.raises(EngineUnavailable, match=r"cannot read .*model\.safetensors"):
        WhisperVq(WhisperVqConfig(weights=str(tmp_path))).load("cpu")


def test_a_hub_repository_is_asked_for_its_config_only(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def fetch(name: str, revision: str, allow_patterns: list[str]) -> str:
        asked.append((name, revision, allow_patterns))
        if revision == GONE:
            raise OSError("404: no such revision\nfor url ...")
        return str(weights)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    monkeypatch.chdir(tmp_path)
    engine = WhisperVq(WhisperVqConfig(revision=COMMIT))
    engine.check()
    assert engine.vocab_size == 2048
    assert engine.weights_identity() == f"THUDM/glm-4-voice-tokenizer@{COMMIT}"
    assert asked == [("THUDM/glm-4-voice-tokenizer", COMMIT, ["config.json"])]
    engine.load("cpu")
    assert len(engine.tokens([np.ones(1280, np.float32)], [1])[0]) == 1
    with pytest.raises(EngineUnavailable, match=r"not on the hub: 404: no such revision; remedy"):
        WhisperVq(WhisperVqConfig(revision=GONE)).check()
