"""Spans of any recording or video."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from wavemill.model.evaluate.sound import decoded
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.library.sound import SAMPLE_RATE, Cutter, sound_of

RATE = 48_000


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """An mp4 of two seconds: silence, then a tone from 1 s on."""
    path = tmp_path / "dia0_utt0.mp4"
    times = np.arange(2 * RATE) / RATE
    tone = np.where(times < 1, 0, 0.3 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def test_the_sound_of_a_video_is_cut_at_its_times(video: Path) -> None:
    whole = sound_of(video)
    assert len(whole) / SAMPLE_RATE == pytest.approx(2.0, abs=0.1)
    cut = Cutter()
    early, late = (decoded(cut(video, start, start + 0.5)) for start in (0.25, 1.25))
    assert len(early) == len(late) == SAMPLE_RATE // 2
    assert np.abs(early).max() < 0.02
    assert np.abs(late).max() == pytest.approx(0.3, abs=0.03)
    assert len(decoded(cut(video, 0.0, None))) == len(whole)


def test_what_does_not_sound_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with pytest.raises(ConfigError, match=r"text\.mp4"):
        Cutter()(path, 0.0, None)
