"""DNSMOS: the same numbers as the package that carries the model."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from wavemill.stages.score_audio.dnsmos import SAMPLE_RATE, WINDOW, Dnsmos, DnsmosConfig, windows_of


def engine(hop_seconds: float) -> Dnsmos:
    loaded = Dnsmos(DnsmosConfig(hop_seconds=hop_seconds, shortest_seconds=0.0))
    loaded.load("cpu")
    return loaded


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
    from wavemill.stages.score_audio.dnsmos import model_file

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
        windows_of(np.zeros(0, np.float32), 1.0)


def test_a_clip_below_the_shortest_is_not_rated() -> None:
    loaded = Dnsmos(DnsmosConfig(shortest_seconds=1.0))
    loaded.load("cpu")
    clips = [noisy_tone(0.99), noisy_tone(1.0)]
    assert [rating is None for rating in loaded.quality(clips)] == [True, False]
