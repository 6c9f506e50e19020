"""Checkpoints: round trip, and an error that names what does not fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.model.bsrnn.made import noise, small_network
from wavemill.model.bsrnn.checkpoint import (
    checkpoint_identity,
    load_checkpoint,
    save_checkpoint,
)
from wavemill.model.io.folders import WeightsError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_checkpoint(small_network(), tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_round_trip(folder: Path) -> None:
    network, loaded = small_network(), load_checkpoint(folder)
    assert loaded.config == network.config
    assert not loaded.training
    audio = torch.from_numpy(noise(4800))[None]
    torch.testing.assert_close(loaded(audio), network(audio), rtol=0, atol=0)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_identity_is_the_content(folder: Path, tmp_path: Path) -> None:
    save_checkpoint(small_network(), tmp_path / "same")
    save_checkpoint(small_network(seed=1), tmp_path / "other")
    first, same, other = map(checkpoint_identity, (folder, tmp_path / "same", tmp_path / "other"))
    assert first == same != other
    (folder / "config.json").write_text(
        (folder / "config.json").read_text(encoding="utf-8") + "\n", encoding="utf-8"
    )
    assert checkpoint_identity(folder) != first


def change(folder: Path, what: str) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    if what == "missing":
        del weights["split.norms.3.weight"]
    elif what == "extra":
        weights["split.norms.99.weight"] = torch.zeros(3)
    elif what == "shape":
        weights["split.norms.3.weight"] = torch.zeros(3)
    else:
        weights["split.norms.3.weight"] = weights["split.norms.3.weight"].double()
    save_file(weights, path)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", r"tensor split.norms.3.weight is missing"),
        ("extra", r"tensor split.norms.99.weight is not part of the network"),
        ("shape", r"split.norms.3.weight is \(3,\), but .* calls for \(8,\)"),
        ("dtype", r"split.norms.3.weight is F64, but the network has F32"),
    ],
)
def test_tensors_that_do_not_fit(folder: Path, what: str, message: str) -> None:
    change(folder, what)
    with pytest.raises(WeightsError, match=message):
        load_checkpoint(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_files_that_cannot_be_read(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"{ not this")
    with pytest.raises(WeightsError, match=name):
        load_checkpoint(folder)
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=f"cannot read .*{name}"):
        load_checkpoint(folder)
    with pytest.raises(WeightsError, match=f"cannot read .*{name}"):
        checkpoint_identity(folder)


def test_unknown_fields_are_errors(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace('"pairs"', '"bears"'), encoding="utf-8"
    )
    with pytest.raises(WeightsError, match="bears"):
        load_checkpoint(folder)


def test_identity_needs_no_torch(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from wavemill.model.bsrnn.checkpoint import "
        "checkpoint_identity; checkpoint_identity(Path(sys.argv[1])); "
        "assert not {'torch', 'safetensors'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(folder)], check=False).returncode == 0
