from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from wavemill.model.io.folders import (
    INDEX_FILE,
    WEIGHTS_FILE,
    WeightsError,
    read_config,
    resolve,
    validated,
)
from wavemill.model.io.tensors import fill, save
from wavemill.model.llm.config import LlmConfig


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2, bias=False))


def blank() -> nn.Module:
    with torch.device("meta"):
        return network()


@pytest.mark.parametrize(("shard_bytes", "shards"), [(10**9, 1), (150, 3), (1, 5)])
def test_what_is_saved_is_read(tmp_path: Path, shard_bytes: int, shards: int) -> None:
    saved, read = network(), blank()
    save(saved, {"width": 4}, tmp_path, shard_bytes)
    assert len(list(tmp_path.glob("*.safetensors"))) == shards
    assert (tmp_path / INDEX_FILE).is_file() == (shards > 1)
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1  # all as readable
    fill(read, tmp_path)
    assert read_config(tmp_path) == {"width": 4}
    for name, tensor in saved.state_dict().items():
        assert torch.equal(read.state_dict()[name], tensor)
    assert all(parameter.requires_grad for parameter in read.parameters())
    save(read, {}, tmp_path / "again", shard_bytes)  # from the mapped files
    fill(again := blank(), tmp_path / "again")
    assert torch.equal(again.state_dict()["0.weight"], saved.state_dict()["0.weight"])


def test_index_follows_the_published_form(tmp_path: Path) -> None:
    save(network(), {}, tmp_path, 150)
    index = json.loads((tmp_path / INDEX_FILE).read_text(encoding="utf-8"))
    assert index["metadata"]["total_size"] == 4 * (32 + 8 + 8 + 8 + 16)
    assert index["weight_map"]["0.weight"] == "model-00001-of-00003.safetensors"


def test_dtype_is_changed_on_the_way(tmp_path: Path) -> None:
    save(network(), {}, tmp_path)
    read = blank()
    fill(read, tmp_path, dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in read.state_dict().values()} == {torch.bfloat16}


def test_tensors_stay_in_the_mapped_file(tmp_path: Path) -> None:
    """128 MB are read without that the process grows by as much of its own memory."""
    big = nn.Linear(4096, 8192, bias=False)
    save(big, {}, tmp_path)
    with torch.device("meta"):
        read = nn.Linear(4096, 8192, bias=False)
    before = anonymous_memory()
    fill(read, tmp_path)
    assert float(read.weight.detach().sum()) == pytest.approx(float(big.weight.detach().sum()))
    assert anonymous_memory() - before < 32 * 2**20


def anonymous_memory() -> int:
    """Return the bytes of this process that no file stands behind."""
    status = Path("/proc/self/status")
    if not status.is_file():
        pytest.skip("no /proc/self/status on this system")
    (line,) = [
        one for one in status.read_text(encoding="utf-8").splitlines() if one.startswith("RssAnon")
    ]
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("shard_bytes", [10**9, 150])
def test_a_tensor_that_does_not_fit_is_named(tmp_path: Path, shard_bytes: int) -> None:
    cases = {
        "missing": (lambda t: t.pop("1.bias"), r"tensor 1\.bias is missing"),
        "extra": (lambda t: t.update(more=torch.zeros(1)), "tensor more is not part of"),
        "shape": (
            lambda t: t.update({"0.weight": torch.zeros(8, 5)}),
            r"tensor 0\.weight is \(8, 5\), but the configuration calls for \(8, 4\)",
        ),
    }
    for name, (change, message) in cases.items():
        folder = tmp_path / name
        holder = nn.Module()
        tensors = network().state_dict()
        change(tensors)
        for key, tensor in tensors.items():
            holder.register_buffer(key.replace(".", "/"), tensor)
        save(holder, {}, folder, shard_bytes)
        rename(folder)
        with pytest.raises(WeightsError, match=message):
            fill(blank(), folder)


def rename(folder: Path) -> None:
    """Undo that a buffer's name may hold no dot."""
    for file in folder.glob("*.safetensors"):
        save_file({name.replace("/", "."): t for name, t in load_file(file).items()}, file)
    index = folder / INDEX_FILE
    if index.is_file():
        index.write_text(index.read_text(encoding="utf-8").replace("/", "."), encoding="utf-8")


def test_unused_tensors_are_left_where_they_are(tmp_path: Path) -> None:
    tensors = {f"part.{name}": t for name, t in network().state_dict().items()}
    save_file(tensors | {"other.weight": torch.zeros(3)}, tmp_path / WEIGHTS_FILE)
    read = blank()
    fill(read, tmp_path, prefix="part.")
    assert torch.equal(read.state_dict()["0.bias"], tensors["part.0.bias"])


def test_hub_id_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fetch(source: str, **_: object) -> str:
        asked.append(source)
        if source == "no/where":
            raise OSError("not found")
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert resolve("owner/name") == tmp_path
    with pytest.raises(WeightsError, match="no folder no/where, and not on the hub: not found"):
        resolve("no/where")
    with pytest.raises(WeightsError, match="there is no folder"):
        resolve("a/longer/path")
    assert asked == ["owner/name", "no/where"]


def test_config_that_does_not_fit_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"vocab_size": "many"}', encoding="utf-8")
    with pytest.raises(WeightsError, match=r"config\.json: vocab_size: Input should be"):
        validated(LlmConfig, tmp_path)


def test_says_what_is_wrong_with_a_folder(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no folder"):
        resolve(tmp_path / "nowhere")
    with pytest.raises(WeightsError, match=r"cannot read .*config\.json"):
        read_config(tmp_path)
    with pytest.raises(WeightsError, match=r"cannot read .*model\.safetensors"):
        fill(blank(), tmp_path)
    (tmp_path / WEIGHTS_FILE).write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match=r"cannot read .*model\.safetensors"):
        fill(blank(), tmp_path)
    (tmp_path / INDEX_FILE).write_text("[]", encoding="utf-8")
    with pytest.raises(WeightsError, match="is not an index of shards"):
        fill(blank(), tmp_path)
