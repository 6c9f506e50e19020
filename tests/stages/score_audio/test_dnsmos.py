"""DNSMOS: the same numbers as the package that carries the model, and as every window alone."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import onnxruntime
import pytest

from wavemill.stages import bundled
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.score_audio import dnsmos
from wavemill.stages.score_audio.dnsmos import (
    SAMPLE_RATE,
    WINDOW,
    Dnsmos,
    DnsmosConfig,
    model_file,
    repeated,
    window_starts,
)
from wavemill.stages.score_audio.dnsmos_network import HOP, DnsmosNetwork
from wavemill.stages.score_audio.dnsmos_windows import window_maps
from wavemill.stages.score_audio.onnx_format import read_weights

Precision = Literal["int8", "float32"]


def engine(hop_seconds: float, precision: Precision = "float32") -> Dnsmos:
    loaded = Dnsmos(
        DnsmosConfig(hop_seconds=hop_seconds, precision=precision, shortest_seconds=0.0)
    )
    loaded.load("cpu")
    return loaded


def windows_of(clip: np.ndarray, hop_seconds: float) -> list[np.ndarray]:
    audio = repeated(clip)
    starts = window_starts(len(audio), hop_seconds)
    return [audio[start * HOP : start * HOP + WINDOW] for start in starts]


@pytest.fixture(scope="module")
def published() -> Any:
    """The published graph; it takes one window after the other in these tests."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(model_file()), options, providers=["CPUExecutionProvider"]
    )


@pytest.fixture(scope="module", params=["float32", "int8"])
def network(request: pytest.FixtureRequest) -> DnsmosNetwork:
    return DnsmosNetwork(model_file().read_bytes(), int8=request.param == "int8")


def plainly(session: Any, clip: np.ndarray, hop_seconds: float) -> np.ndarray:
    windows = windows_of(clip, hop_seconds)
    return np.concatenate([session.run(None, {"input_1": window[None]})[0] for window in windows])


def shared(
    network: DnsmosNetwork, clip: np.ndarray, hop_seconds: float, batch: int = 4, block: int = 300
) -> np.ndarray:
    audio = repeated(clip)
    starts = window_starts(len(audio), hop_seconds)
    maps = window_maps(network, audio, starts, batch, block)
    return np.concatenate([network.score(windows) for windows in maps])


def noisy_tone(seconds: float) -> np.ndarray:
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    noise = np.random.default_rng(0).standard_normal(len(time))
    envelope = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * time)
    return (envelope * 0.2 * np.sin(2 * np.pi * 220 * time) + 0.01 * noise).astype(np.float32)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The package's own class; its imports that only P.808 and files need are left out."""
    spec = importlib.util.find_spec("speechmos")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    for name in ("librosa", "requests"):
        stand_in = ModuleType(name)
        stand_in.session = None  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, stand_in)
    file = Path(spec.submodule_search_locations[0]) / "dnsmos.py"
    module_spec = importlib.util.spec_from_file_location("speechmos_dnsmos", file)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seconds", [0.3, 9.5, 11.2])
def test_equals_the_package_at_its_own_hop(package: ModuleType, seconds: float) -> None:
    folder = model_file().parent
    theirs = package.DNSMOS(str(model_file()), str(folder / "model_v8.onnx"))
    theirs.audio_melspec = lambda **_: np.zeros((900, 120))  # input of P.808, unused
    clip = noisy_tone(seconds)
    expected = theirs(clip, SAMPLE_RATE, False)
    ours = engine(hop_seconds=1.0).quality([clip])[0]
    assert ours.overall == pytest.approx(expected["ovrl_mos"], abs=1e-4)
    assert ours.signal == pytest.approx(expected["sig_mos"], abs=1e-4)
    assert ours.background == pytest.approx(expected["bak_mos"], abs=1e-4)


@pytest.mark.parametrize(
    ("seconds", "hop_seconds", "windows"),
    [
        (0.1, 1, 3),
        (9.0, 1, 9),
        (9.5, 1, 1),
        (10.5, 1, 1),
        (27.0, 1, 18),
        (27.0, 3, 6),
        (27.0, 9, 2),
        (10.0, 0.99, 2),  # the last one would be rounded to beyond the clip
    ],
)
def test_number_of_windows(seconds: float, hop_seconds: float, windows: int) -> None:
    found = windows_of(np.zeros(int(seconds * SAMPLE_RATE), np.float32), hop_seconds)
    assert len(found) == windows
    assert {window.shape for window in found} == {(WINDOW,)}  # none is lost by rounding


def test_a_clip_is_rated_by_itself() -> None:
    loaded = engine(hop_seconds=3.0)
    first, second = noisy_tone(9.2), 0.1 * noisy_tone(9.3)
    together = loaded.quality([first, second])
    assert together == [loaded.quality([first])[0], loaded.quality([second])[0]]


def test_an_empty_clip_is_an_error() -> None:
    with pytest.raises(ValueError, match="empty"):
        repeated(np.zeros(0, np.float32))


def test_a_clip_below_the_shortest_is_not_rated() -> None:
    loaded = Dnsmos(DnsmosConfig(shortest_seconds=1.0))
    loaded.load("cpu")
    clips = [noisy_tone(0.99), noisy_tone(1.0)]
    assert [rating is None for rating in loaded.quality(clips)] == [True, False]


@pytest.mark.parametrize(
    ("clip", "hop_seconds"),
    [
        pytest.param(noisy_tone(14.3), 1.0, id="many windows"),
        pytest.param(noisy_tone(29.0), 10.0, id="windows with gaps between them"),
        pytest.param(noisy_tone(9.02), 1.0, id="one window"),
        pytest.param(noisy_tone(1.0), 1.0, id="a short clip"),
        pytest.param(np.zeros(11 * SAMPLE_RATE, np.float32), 1.0, id="silence"),
        pytest.param(noisy_tone(11.2) * 20, 1.0, id="far too loud"),
    ],
)
def test_shared_windows_equal_the_published_graph(
    network: DnsmosNetwork, published: Any, clip: np.ndarray, hop_seconds: float
) -> None:
    """In float32 but for rounding, in int8 nearly (on real speech: benchmarks/dnsmos.md)."""
    expected = plainly(published, clip, hop_seconds)
    found = shared(network, clip, hop_seconds)
    assert found.shape == expected.shape
    tolerance = 1e-3 if network.dtype == np.float32 else 0.3
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_blocks_and_batches_do_not_matter(network: DnsmosNetwork) -> None:
    clip = noisy_tone(13.7)
    together = shared(network, clip, 1.0, batch=100, block=10_000)
    for batch, block in [(1, 302), (2, 64), (3, 900)]:
        found = shared(network, clip, 1.0, batch=batch, block=block)
        # The first convolution is float32: its last bits may round to another integer.
        tolerance = 1e-4 if network.dtype == np.float32 else 0.02
        np.testing.assert_allclose(found, together, rtol=0, atol=tolerance)


def test_the_default_hears_speechlike_sound_as_float32_does() -> None:
    default = Dnsmos(DnsmosConfig())
    default.load("cpu")
    clip = noisy_tone(11.2)
    (found,), (exact,) = default.quality([clip]), engine(1.0).quality([clip])
    assert found is not None
    assert exact is not None
    assert found.overall == pytest.approx(exact.overall, abs=0.2)
    assert found.signal == pytest.approx(exact.signal, abs=0.2)
    assert found.background == pytest.approx(exact.background, abs=0.2)


def other_weights(content: bytes) -> dict[str, bytes]:
    at = len(content) // 2
    flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    return {"cut off": content[:at], "one bit": flipped, "foreign": b"import os", "empty": b""}


@pytest.mark.parametrize("damage", ["cut off", "one bit", "foreign", "empty"])
def test_other_weights_are_refused_before_they_are_read(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(other_weights(model_file().read_bytes())[damage])
    monkeypatch.setattr(bundled.BundledFile, "located", lambda _: file)
    monkeypatch.setattr(dnsmos, "DnsmosNetwork", lambda *_, **__: pytest.fail("weights were read"))
    with pytest.raises(EngineUnavailable, match="not the file that is known"):
        Dnsmos(DnsmosConfig()).load("cpu")


def test_weights_are_read_as_data() -> None:
    content = model_file().read_bytes()
    weights = read_weights(content)
    assert weights["conv2d/kernel:0"].shape == (128, 1, 3, 3)
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    for damaged in (content[: len(content) // 2], b"import os", b""):
        with pytest.raises(ValueError, match="not an ONNX file"):
            read_weights(damaged)
