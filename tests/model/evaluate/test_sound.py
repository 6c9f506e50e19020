"""Sounds of benchmarks, decoded to one channel."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from wavemill.model.evaluate.sound import SAMPLE_RATE, decoded

VOICE = (0.3 * np.sin(np.arange(SAMPLE_RATE) / 9) * np.sin(np.arange(SAMPLE_RATE) / 3000)).astype(
    np.float32
)


@pytest.mark.parametrize(
    ("gains", "share"),
    [
        ((1.0,), 1),
        ((1, 0.5), 0.75),
        ((1, 0), 0.5),
        ((1, -1), 1),
        ((-0.97, 1), 1),
        ((0.5, -0.4), 0.5),
    ],
)
def test_a_sound_is_heard_whatever_its_channels_are(gains: tuple[float, ...], share: float) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.outer(VOICE, gains), SAMPLE_RATE, format="WAV", subtype="FLOAT")
    found = decoded(file.getvalue())
    assert found.shape == VOICE.shape
    np.testing.assert_allclose(np.abs(found), share * np.abs(VOICE), atol=1e-5)
