"""Audio in any form as a waveform, and spans of any recording or video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import torch

from wavemill.model.evaluate.sound import decoded
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.library.sound import SAMPLE_RATE, AudioError, Cutter, sound_of, waveform

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
    path.write_text("no video", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"text\.mp4"):
        Cutter()(path, 0.0, None)


def tone(rate: int, seconds: float = 1.0) -> np.ndarray:
    times = np.arange(round(rate * seconds)) / rate
    return (0.3 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
def test_any_form_of_audio_becomes_the_same_waveform(rate: int, tmp_path: Path) -> None:
    mono = tone(rate)
    stereo = np.stack([mono, mono])
    soundfile.write(tmp_path / "a.wav", stereo.T, rate, subtype="FLOAT")
    content = (tmp_path / "a.wav").read_bytes()
    forms: list[tuple[Any, int | None]] = [
        (tmp_path / "a.wav", None),
        (str(tmp_path / "a.wav"), None),
        (content, None),
        (bytearray(content), None),
        ({"bytes": content, "path": None}, None),
        ({"array": mono, "sampling_rate": rate}, None),
        ((mono, rate), None),
        (mono, rate),
        (mono.astype(np.float64), rate),
        (stereo, rate),
        (stereo.T, rate),
        (torch.from_numpy(stereo), rate),
        (torch.from_numpy(mono).to(torch.float64), rate),
        ((mono * 32_768).astype(np.int16), rate),
        ((mono.astype(np.float64) * 2**31).astype(np.int32), rate),
        ((128 + mono * 128).round().astype(np.uint8), rate),
    ]
    wanted = tone(SAMPLE_RATE)[800:-800]  # without the ends, where a filter rings
    for audio, told in forms:
        found = waveform(audio, told)
        assert (found.dtype, found.shape) == (np.float32, (SAMPLE_RATE,))
        assert np.abs(found[800:-800] - wanted).max() < 0.01, type(audio)


def test_what_is_no_audio_is_one_line(tmp_path: Path) -> None:
    for audio, rate, message in (
        (np.zeros(8), None, "sample_rate=HZ"),
        (np.zeros(8), 0, "not a sample rate"),
        (np.zeros((2, 2, 2)), 8000, "shape"),
        (np.zeros(0), 8000, "shape"),
        (np.full(8, np.nan), 8000, "not finite"),
        (np.zeros(8, complex), 8000, "neither floats nor integers"),
        (["a"], 8000, "list is not a path"),
        ({"text": "x"}, None, "none of array, bytes and path among text"),
        (b"nothing", None, "audio \\(bytes\\)"),
        (tmp_path / "none.wav", None, "none.wav"),
    ):
        with pytest.raises(AudioError, match=message) as found:
            waveform(audio, rate)
        assert len(str(found.value).splitlines()) == 1
