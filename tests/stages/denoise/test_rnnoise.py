"""RNNoise: alignment, length, independence of calls and of block sizes."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tests.stages.audio.test_decode import whole
from tests.stages.denoise.sound import assert_calls_are_independent, lag_of, leave_early, noise, run
from tests.support import audio_folder
from wavemill.stages.denoise.rnnoise import RNNoise
from wavemill.stages.engine import EngineConfig

RATE = 48_000


@pytest.fixture(scope="module")
def engine() -> RNNoise:
    engine = RNNoise(EngineConfig())
    engine.load("cpu")
    return engine


@pytest.mark.parametrize("samples", [0, 1, 479, 480, 481, 960, 961, 4800, 10_007])
def test_length_is_kept(engine: RNNoise, samples: int) -> None:
    assert run(engine, noise(samples)).shape == (samples,)


def test_block_sizes_do_not_matter(engine: RNNoise) -> None:
    audio = noise(20_000)
    pieces = np.split(audio, [1, 2, 500, 970, 5000, 5001])
    np.testing.assert_array_equal(run(engine, *pieces), run(engine, audio))


def test_calls_are_independent(engine: RNNoise) -> None:
    assert_calls_are_independent(engine)


def test_the_state_is_destroyed_whatever_happens(
    engine: RNNoise, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    library = engine._library
    monkeypatch.setattr(library, "create", lambda inner=library.create: events.append(1) or inner())
    monkeypatch.setattr(
        library, "destroy", lambda state, inner=library.destroy: events.append(-1) or inner(state)
    )

    leave_early(engine)
    assert events == [1, -1, 1, -1]


def test_speech_stays_in_place_and_noise_goes(engine: RNNoise) -> None:
    from wavemill.stages.audio.resample import resample

    audio, rate = whole(audio_folder() / "read" / "jfk.flac")
    speech = resample(audio[0], rate, RATE)[: 8 * RATE]
    noisy = speech + 0.01 * noise(speech.size) / 0.1
    enhanced = run(engine, noisy)
    n = 1 << (2 * speech.size).bit_length()
    cross = np.fft.irfft(np.fft.rfft(enhanced, n) * np.conj(np.fft.rfft(speech, n)))
    assert abs(lag_of(enhanced, speech)) <= 3  # its high-pass turns the phase of the lowest tones
    assert cross.max() / (np.linalg.norm(speech) * np.linalg.norm(enhanced)) > 0.9
    assert np.sqrt(np.mean(run(engine, noise(2 * RATE) * 0.1)[RATE:] ** 2)) < 0.003


def test_loading_is_light() -> None:
    import subprocess

    code = (
        "import sys; from wavemill.stages.denoise.rnnoise import RNNoise; "
        "from wavemill.stages.engine import EngineConfig; "
        "assert not {'av', 'soxr'} & set(sys.modules); "
        "RNNoise(EngineConfig()).load('cpu'); "
        "assert not {'matplotlib', 'audiolab', 'torch'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
