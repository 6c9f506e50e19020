"""Reading and writing the published layout, and what is refused."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from tests.model.conformance import TABLE, worst
from tests.model.detokenizer.fixtures import (
    FOLDER,
    TOLERANCE,
    needs_fixtures,
    notes,
    tensors,
)
from tests.model.detokenizer.made import QUICK, made_detokenizer, random, tokens_for
from tests.model.detokenizer.published import PublishedDetokenizer, PublishedSettings
from wavemill.model.detokenizer.config import DetokenizerConfig
from wavemill.model.detokenizer.detokenizer import Detokenizer
from wavemill.model.detokenizer.layout import normed
from wavemill.model.io.folders import WeightsError

FLOW = Path("audio_detokenizer", "model.safetensors")
VOCODER = Path("vocoder", "model.safetensors")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made_detokenizer().save_pretrained(tmp_path)
    return tmp_path


def change(path: Path, by: Callable[[dict[str, Any]], None]) -> None:
    content = load_file(path)
    content = {name: tensor.clone() for name, tensor in content.items()}
    by(content)
    save_file(content, path)


@pytest.mark.parametrize("container", ["safetensors", "pt"])
def test_what_is_written_is_read(tmp_path: Path, container: Any) -> None:
    saved = made_detokenizer()
    saved.save_pretrained(tmp_path, container)
    suffixes = {path.suffix for path in tmp_path.glob("*/model.*")}
    assert suffixes == {f".{container}"}
    read = Detokenizer.from_pretrained(tmp_path, settings=QUICK)
    assert read.config == saved.config
    for ours, theirs in ((read.flow, saved.flow), (read.vocoder, saved.vocoder)):
        for name, tensor in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], tensor), name
    audio = [part.decode(tokens_for(20), random()) for part in (read, saved)]
    assert torch.allclose(*audio, rtol=0, atol=1e-4)


def test_published_names(folder: Path) -> None:
    assert all(name.startswith("speech_model.") for name in load_file(folder / FLOW))
    vocoder = load_file(folder / VOCODER)
    assert vocoder["ups.0.0.weight_g"].shape == (16, 1, 1)  # input channels
    assert "conv_pre.weight" not in vocoder
    written = yaml.safe_load(
        (folder / "audio_detokenizer" / "config.yaml").read_text(encoding="utf-8")
    )
    assert written["model"]["dit"]["rope_params"]["rope_base"] == 10_000
    assert written["mel_mean"] == -4.479605


def test_weights_go_to_the_wanted_dtype(folder: Path) -> None:
    read = Detokenizer.from_pretrained(folder, dtype=torch.bfloat16, settings=QUICK)
    for part in (read.flow, read.vocoder):
        assert {tensor.dtype for tensor in part.state_dict().values()} == {torch.bfloat16}
    audio = read.decode(tokens_for(10), random())
    assert audio.dtype == torch.float32
    assert audio.isfinite().all()


def test_folded_weights_are_read_too(folder: Path) -> None:
    read = Detokenizer.from_pretrained(folder, settings=QUICK)
    save_file(read.vocoder.state_dict(), folder / VOCODER)
    again = Detokenizer.from_pretrained(folder, settings=QUICK)
    mel = torch.zeros(1, 5, 8)
    assert torch.equal(again.vocoder(mel), read.vocoder(mel))


def test_tensors_outside_the_network_are_passed_over(folder: Path) -> None:
    """The published file is said to hold `resampler.kernel`."""
    change(folder / FLOW, lambda content: content.update({"resampler.kernel": torch.zeros(3)}))
    Detokenizer.from_pretrained(folder)


def test_fields_of_training_are_passed_over(folder: Path) -> None:
    path = folder / "audio_detokenizer" / "config.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["model"]["dit"]["condition_input_dim"] = 1280
    path.write_text(yaml.safe_dump(content | {"cfg_scale": 4.0}), encoding="utf-8")
    Detokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("file", "by", "message"),
    [
        (
            FLOW,
            lambda c: c.pop("speech_model.input_linear.bias"),
            r"tensor input_linear\.bias is missing",
        ),
        (
            FLOW,
            lambda c: c.update({"speech_model.odd": torch.zeros(1)}),
            "tensor odd is not part of the network",
        ),
        (
            FLOW,
            lambda c: c.update({"speech_model.input_linear.bias": torch.zeros(3)}),
            r"tensor input_linear\.bias is \(3,\), but the configuration calls for \(32,\)",
        ),
        (VOCODER, lambda c: c.pop("conv_post.weight_g"), r"tensor conv_post\.weight is missing; "),
        (VOCODER, lambda c: c.pop("conv_pre.bias"), r"tensor conv_pre\.bias is missing"),
        (VOCODER, lambda c: c.update(odd=torch.zeros(1)), "tensor odd is not part of the network"),
    ],
)
def test_wrong_tensors_are_named(
    folder: Path, file: Path, by: Callable[[dict[str, Any]], None], message: str
) -> None:
    change(folder / file, by)
    with pytest.raises(WeightsError, match=message):
        Detokenizer.from_pretrained(folder)


def test_wrong_files_are_named(folder: Path) -> None:
    (folder / FLOW).write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match=r"cannot read .*audio_detokenizer.*model\.safetensors"):
        Detokenizer.from_pretrained(folder)
    (folder / FLOW).unlink()
    with pytest.raises(WeightsError, match=r"audio_detokenizer: neither model\.safetensors nor"):
        Detokenizer.from_pretrained(folder)
    torch.save({"other": {}}, (folder / FLOW).with_name("model.pt"))
    with pytest.raises(WeightsError, match="no entry 'state_dict'"):
        Detokenizer.from_pretrained(folder)
    config = folder / "vocoder" / "config.json"
    content = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps(content | {"resblock": "2"}), encoding="utf-8")
    with pytest.raises(WeightsError, match=r"config\.json: resblock"):
        Detokenizer.from_pretrained(folder)
    config.write_text(json.dumps(content | {"num_mels": 7}), encoding="utf-8")
    with pytest.raises(WeightsError, match="differ in mel bands"):
        Detokenizer.from_pretrained(folder)
    config.unlink()
    with pytest.raises(WeightsError, match=r"cannot read .*config\.json"):
        Detokenizer.from_pretrained(folder)


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_in_a_pickle_is_executed(folder: Path, zipped: bool) -> None:
    (folder / FLOW).unlink()
    path, trace = (folder / FLOW).with_name("model.pt"), folder / "trace"
    content = {"state_dict": Harmful(trace)}
    if zipped:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(WeightsError, match="is not a file of plain tensors"):
        Detokenizer.from_pretrained(folder)
    assert not trace.exists()


@needs_fixtures
def test_fixtures_in_the_published_layout(tmp_path: Path) -> None:
    """Their files under the published names: the stored stream comes out."""
    for name in ("audio_detokenizer", "vocoder"):
        (tmp_path / name).mkdir()
    flow = {f"speech_model.{name}": tensor for name, tensor in tensors("dit/model").items()}
    torch.save({"state_dict": flow}, tmp_path / "audio_detokenizer" / "model.pt")
    torch.save({"generator": tensors("bigvgan/model")}, tmp_path / "vocoder" / "model.pt")
    for source, name in (
        ("dit", "audio_detokenizer/config.yaml"),
        ("bigvgan", "vocoder/config.json"),
    ):
        (tmp_path / name).write_text(
            (FOLDER / source / Path(name).name).read_text(encoding="utf-8"), encoding="utf-8"
        )
    stored = tensors("streaming/api_4s")
    noises = iter([stored["chunk0.noise"], stored["chunk1.noise"]])
    read = PublishedDetokenizer.from_pretrained(tmp_path, settings=PublishedSettings())
    tokens = torch.cat((stored["chunk0.tokens"], stored["chunk1.tokens"]))
    found = read.decode(tokens, lambda _frames: next(noises))
    wanted = torch.cat((stored["chunk0.wav"], stored["chunk1.wav"]), 1)[0]
    TABLE.add("weights: files to audio", worst(found, wanted), TOLERANCE)


def shapes_of(content: Any) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in content.items()}


@needs_fixtures
def test_names_and_shapes_at_full_size() -> None:
    with torch.device("meta"):
        full = Detokenizer.from_config(DetokenizerConfig.preset("published"))
    wanted = notes("names")["flow_matching"]
    found = shapes_of({f"speech_model.{n}": t for n, t in full.flow.state_dict().items()})
    assert sum(t.numel() for t in full.flow.state_dict().values()) == wanted["n_values"]
    TABLE.add("names: flow network", float(found != wanted["tensors"]))
    wanted = notes("names")["vocoder"]
    found = shapes_of(full.vocoder.state_dict())
    TABLE.add("names: vocoder, folded", float(found != wanted["tensors_folded"]))
    found = shapes_of(normed(full.vocoder))
    TABLE.add("names: vocoder, weight norm", float(found != wanted["tensors_weight_norm"]))


@needs_fixtures
def test_published_configuration() -> None:
    ours = DetokenizerConfig.preset("published")
    for part, name in ((ours.flow, "flow_matching"), (ours.vocoder, "vocoder")):
        for field, noted in notes("names")[name]["config"].items():
            if field == "present_but_unused_by_inference" or noted["value"] is None:
                continue
            value: Any = part.model_dump(mode="json")
            for key in field.split("."):
                value = value[key]
            assert value == noted["value"] or str(value) == str(noted["value"]), field


@pytest.mark.parametrize(("name", "low", "high"), [("tiny", 1e6, 5e6), ("small", 15e6, 40e6)])
def test_sizes_of_presets(name: str, low: float, high: float) -> None:
    with torch.device("meta"):
        made = Detokenizer.from_config(DetokenizerConfig.preset(name))
    parts = (made.flow, made.vocoder)
    assert low <= sum(p.numel() for part in parts for p in part.parameters()) <= high


def test_presets_are_named_in_the_error() -> None:
    with pytest.raises(ValueError, match="no configuration 'large'; there are tiny, small"):
        DetokenizerConfig.preset("large")
