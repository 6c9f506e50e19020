"""Loading Whisper checkpoints: by name, by path, and every way in which there is none."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import whisper

from tests.stages.transcribe.whisper_models import random_checkpoint
from tests.support import ROOT
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.transcribe import whisper_weights
from wavemill.stages.transcribe.whisper import Whisper, WhisperConfig
from wavemill.stages.transcribe.whisper_weights import catalogue, halve, load_model


def engine(**fields: object) -> Whisper:
    return Whisper(WhisperConfig(**fields))  # type: ignore[arg-type]


def test_the_catalogue_is_the_package_s() -> None:
    assert catalogue().urls == whisper._MODELS
    assert catalogue().alignment_heads == whisper._ALIGNMENT_HEADS


def test_identity_is_the_content() -> None:
    assert engine().weights_identity().startswith("e5b1a55b89c1367dacf97e3e19bfd829")
    assert engine(model="large").weights_identity() == engine().weights_identity()


def test_identity_of_a_file(tmp_path: Path) -> None:
    path = random_checkpoint(tmp_path / "random.pt")
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert engine(model=str(path)).weights_identity() == expected


def test_identity_imports_no_torch() -> None:
    code = (
        "import sys; from wavemill.stages.transcribe.whisper import Whisper, WhisperConfig;"
        "Whisper(WhisperConfig()).weights_identity(); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize("half", [False, True])
def test_a_file_loads_as_the_package_loads_it(tmp_path: Path, half: bool) -> None:
    path = random_checkpoint(tmp_path / "random.pt", half=half)
    ours, theirs = load_model(str(path), None, "cpu"), whisper.load_model(str(path), "cpu")
    assert ours.dims == theirs.dims
    state = theirs.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in ours.state_dict().items())
    assert torch.equal(ours.alignment_heads.to_dense(), theirs.alignment_heads.to_dense())


def test_a_known_file_has_its_alignment_heads_by_path_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = random_checkpoint(tmp_path / "random.pt")
    heads = torch.tensor([[True, False], [False, True]])
    known = whisper_weights.Catalogue(
        {"our": f"https://x/{hashlib.sha256(path.read_bytes()).hexdigest()}/random.pt"},
        {"our": _dumped(heads)},
    )
    monkeypatch.setattr(whisper_weights, "catalogue", lambda: known)
    for name, root in ((str(path), None), ("our", str(tmp_path))):
        assert torch.equal(load_model(name, root, "cpu").alignment_heads.to_dense(), heads)


def _dumped(heads: torch.Tensor) -> bytes:
    import base64
    import gzip

    return base64.b85encode(gzip.compress(heads.numpy().tobytes()))


def test_half_precision_gives_what_casting_in_every_call_gives(tmp_path: Path) -> None:
    path = random_checkpoint(tmp_path / "random.pt", half=True)
    cast, held = load_model(str(path), None, "cpu"), load_model(str(path), None, "cpu")
    halve(held)
    mel = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0)).half()
    tokens = torch.tensor([[50258, 50259, 50359, 400]])
    with torch.no_grad():
        assert torch.equal(cast.encoder(mel), held.encoder(mel))
        expected = cast(mel, tokens)
        assert torch.equal(expected, held(mel, tokens))
    assert expected.isfinite().all()
    assert held.decoder.token_embedding.weight.dtype == torch.float16


def test_neither_a_file_nor_a_name() -> None:
    unknown = engine(model="large-v9")
    for call in (unknown.weights_identity, lambda: unknown.load("cpu")):
        with pytest.raises(EngineUnavailable, match=r"whisper.*'large-v9'.*large-v3.*remedy"):
            call()


def test_a_named_model_that_cannot_be_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(url: str) -> None:
        raise OSError(f"no route to {url}")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    message = r"openai-whisper.*'tiny'.*tiny\.pt.*cannot be downloaded.*no route.*remedy"
    with pytest.raises(EngineUnavailable, match=message):
        engine(model="tiny", download_root=str(tmp_path / "cache")).load("cpu")
    assert list((tmp_path / "cache").iterdir()) == []  # nothing half-done stays


def test_a_damaged_file_in_the_cache_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random_checkpoint(tmp_path / "tiny.pt")  # a checkpoint, but not that of the name

    def no_network(url: str) -> None:
        raise OSError(f"no route to {url}")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(EngineUnavailable, match="cannot be downloaded"):
        engine(model="tiny", download_root=str(tmp_path)).load("cpu")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("evil"),))  # type: ignore[return-value]


@pytest.mark.parametrize("content", ["text", "list", "no dims", "shapes", "code"])
def test_files_that_are_no_checkpoint(tmp_path: Path, content: str) -> None:
    path = tmp_path / "model.pt"
    if content == "text":
        path.write_text("no model", encoding="utf-8")
    elif content == "list":
        torch.save([1, 2], path)
    elif content == "no dims":
        torch.save({"model_state_dict": {}}, path)
    elif content == "code":
        torch.save({"dims": Evil(), "model_state_dict": {}}, path)
    else:
        random_checkpoint(path)
        checkpoint = torch.load(path, weights_only=True)
        checkpoint["dims"]["n_text_state"] = 8
        torch.save(checkpoint, path)
    with pytest.raises(EngineUnavailable, match=r"model\.pt is no Whisper checkpoint.*remedy"):
        engine(model=str(path)).load("cpu")
    assert not Path("evil").exists()


def test_the_package_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", dict[str, None]().get)
    with pytest.raises(EngineUnavailable, match="pip install openai-whisper"):
        engine().weights_identity()
