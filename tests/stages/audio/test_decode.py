"""Decoding every format, streamed; probing; tar members."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.stages.audio.made import CODECS, chirp, encoded, wav_bytes
from tests.support import audio_folder
from wavemill.stages.audio.decode import Probe, open_audio, probe
from wavemill.stages.recording_stage import RecordingError

RATE = 48_000
LOSSLESS = {"wav", "flac"}


def whole(uri: str | Path) -> tuple[np.ndarray, int]:
    with open_audio(str(uri)) as audio:
        return np.concatenate(list(audio.blocks), axis=1), audio.sample_rate


@pytest.mark.parametrize("ending", CODECS)
def test_each_format_gives_the_audio_that_was_encoded(tmp_path: Path, ending: str) -> None:
    original = chirp(3, RATE, channels=2)
    path = encoded(tmp_path / f"a.{ending}", original, RATE)
    decoded, rate = whole(path)
    assert rate == RATE
    assert decoded.dtype == np.float32
    assert decoded.shape[0] == 2
    # Encoders pad; ADTS (.aac) cannot say by how much.
    assert abs(decoded.shape[1] - original.shape[1]) <= (2048 if ending == "aac" else 1024)
    if ending in LOSSLESS:
        np.testing.assert_allclose(decoded, original, atol=1 / 32768)
        return
    for channel in range(2):  # where the channels are, and in time where the container can say so
        found, lag = best_lag(original[channel], decoded[channel])
        assert found > (0.75 if ending == "ogg" else 0.9)  # a weak Vorbis encoder
        assert abs(lag) <= (1024 if ending in {"aac", "ogg"} else 2)


def best_lag(original: np.ndarray, decoded: np.ndarray) -> tuple[float, int]:
    n = 1 << (original.size + decoded.size).bit_length()
    cross = np.fft.irfft(np.fft.rfft(decoded, n) * np.conj(np.fft.rfft(original, n)))
    at = int(np.argmax(cross))
    scale = float(np.linalg.norm(original) * np.linalg.norm(decoded))
    return float(cross[at]) / scale, at - n if at > n // 2 else at


@pytest.mark.parametrize(
    ("ending", "tolerance"), [*((e, 10) for e in CODECS if e != "aac"), ("aac", 45)]
)
def test_probe_reads_the_duration(tmp_path: Path, ending: str, tolerance: int) -> None:
    found = probe(str(encoded(tmp_path / f"a.{ending}", chirp(3, RATE, channels=2), RATE)))
    assert (found.sample_rate, found.channels) == (RATE, 2)
    assert found.duration_ms == pytest.approx(3000, abs=tolerance)


def test_the_audio_of_a_video_is_decoded(tmp_path: Path) -> None:
    path = encoded(tmp_path / "clip.mov", chirp(2, RATE), RATE, video=True)
    assert whole(path)[0].shape[1] == pytest.approx(2 * RATE, abs=1024)


@pytest.mark.parametrize(
    ("subtype", "step"),
    [("PCM_U8", 1 / 128), ("PCM_24", 1e-6), ("PCM_32", 1e-6), ("FLOAT", 0), ("DOUBLE", 0)],
)
def test_sample_formats_have_full_scale_at_one(tmp_path: Path, subtype: str, step: float) -> None:
    audio = chirp(1, 8000, level=0.7)[0]
    (tmp_path / "a.wav").write_bytes(wav_bytes(audio, 8000, subtype))
    np.testing.assert_allclose(whole(tmp_path / "a.wav")[0][0], audio, atol=step)


def test_decoding_is_lazy(tmp_path: Path) -> None:
    """The first block comes without the rest being decoded: memory does not grow with length."""
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(chirp(60, 8000)[0], 8000))
    with open_audio(str(path)) as audio:
        sizes = [block.shape[1] for block in audio.blocks]
    assert len(sizes) > 40
    assert max(sizes) <= 2 * 8000
    assert sum(sizes) == 60 * 8000


def test_real_recordings() -> None:
    formats = audio_folder() / "formats"
    expected = {
        "common_voice_en_651325.mp3": (48_000, 1, 2.376),
        "mono_c0.opus": (48_000, 1, 0.505),
        "stereo.mp3": (8000, 2, 1.0),
        "stereo.opus": (48_000, 2, 1.005),
        "stereo.sph": (8000, 2, 1.0),
        "test.mp3": (44_100, 2, 2.534),
        "test.opus": (48_000, 1, 8.064),
    }
    for name, (rate, channels, seconds) in expected.items():
        audio, found = whole(formats / name)
        assert (name, found, audio.shape[0]) == (name, rate, channels)
        assert audio.shape[1] / rate == pytest.approx(seconds, abs=0.002), name
        assert probe(str(formats / name)).duration_ms == pytest.approx(seconds * 1000, abs=10)


def test_tar_members_are_read_in_place(tmp_path: Path) -> None:
    shard = tmp_path / "shard.tar"
    members = {f"in/{index}.flac": chirp(1 + index, 16_000) for index in range(3)}
    with tarfile.open(shard, "w") as tar:
        for name, audio in members.items():
            path = encoded(tmp_path / "member.flac", audio, 16_000)
            tar.add(path, arcname=name)
    for name, audio in members.items():
        np.testing.assert_allclose(whole(f"{shard}#{name}")[0], audio, atol=1 / 32768)
        assert probe(f"{shard}#{name}") == Probe(audio.shape[1] // 16, 16_000, 1)
    with pytest.raises(RecordingError) as caught:
        probe(f"{shard}#in/9.flac")
    assert caught.value.reason == "file_missing"


def test_a_path_may_hold_the_member_mark(tmp_path: Path) -> None:
    path = encoded(tmp_path / "take#2.flac", chirp(1, 16_000), 16_000)
    assert probe(str(path)).duration_ms == 1000


def test_a_changed_tar_is_read_anew(tmp_path: Path) -> None:
    shard = tmp_path / "shard.tar"
    for seconds in (1, 2):
        path = encoded(tmp_path / "member.flac", chirp(seconds, 16_000), 16_000)
        with tarfile.open(shard, "w") as tar:
            tar.add(path, arcname="a.flac")
        assert probe(f"{shard}#a.flac").duration_ms == seconds * 1000
