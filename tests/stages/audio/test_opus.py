"""Opus for listening."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from wavemill.stages.audio.opus import encode_opus, peaks


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_sound_and_length_survive(rate: int) -> None:
    seconds = np.arange(2 * rate) / rate
    audio = (0.4 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)
    data = encode_opus(audio, rate)
    assert data == encode_opus(audio, rate)
    with av.open(io.BytesIO(data)) as container:
        assert container.duration is not None
        assert container.duration / 1e6 == pytest.approx(2, abs=0.05)
        blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
        found_rate = container.streams.audio[0].rate
    found = np.concatenate(blocks, axis=1)[0]
    spectrum = np.abs(np.fft.rfft(found[: 2 * found_rate]))
    assert np.argmax(spectrum) * found_rate / (2 * found_rate) == pytest.approx(440, abs=2)
    assert np.sqrt(np.mean(found**2)) == pytest.approx(0.4 / np.sqrt(2), rel=0.1)


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        encode_opus(np.zeros(0, np.float32), 16_000)


def test_peaks() -> None:
    assert peaks(np.array([0, -3, 1, 2], np.float32), 2).tolist() == [3, 2]
    assert peaks(np.array([1, 2], np.float32), 4).tolist() == [1, 1, 2, 2]
    assert peaks(np.zeros(0, np.float32), 3).tolist() == [0, 0, 0]
