"""Every kind of bad input has its reason."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from tests.stages.audio.made import chirp, encoded, silent_video, wav_bytes
from tests.support import audio_folder
from wavemill.stages.audio.decode import open_audio, probe
from wavemill.stages.audio.limits import DEFAULT_LIMITS, DecodeLimits
from wavemill.stages.recording_stage import RecordingError

RATE = 48_000


def reason(uri: str | Path, limits: DecodeLimits = DEFAULT_LIMITS) -> str | None:
    """The reason for which decoding fails; None where it does not."""
    failure = None
    try:
        with open_audio(str(uri), limits) as audio:
            for _ in audio.blocks:
                pass
    except RecordingError as error:
        failure = error
    assert failure is None or str(uri) in failure.message
    return failure.reason if failure else None


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_zero_bytes(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", b"")
    assert reason(path) == "empty_file"
    with pytest.raises(RecordingError, match="no bytes"):
        probe(str(path))


def test_missing(tmp_path: Path) -> None:
    assert reason(tmp_path / "a.wav") == "file_missing"
    assert reason(tmp_path / "a.tar#b.wav") == "file_missing"


def test_folder(tmp_path: Path) -> None:
    assert reason(tmp_path) == "unreadable"


@pytest.mark.parametrize("ending", ["wav", "mp3", "flac", "ogg", "m4a", "aac", "opus"])
@pytest.mark.parametrize(
    "data",
    [
        b"plain text\n" * 500,
        np.random.default_rng(1).bytes(20_000),
        bytes(20_000),
        b"#EXTM3U\n#EXTINF:10,\nfile:/etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile a.wav\n",
        b"1\n00:00:01,000 --> 00:00:02,000\nsubtitles\n\n" * 20,
    ],
    ids=["text", "random", "zeros", "playlist", "concat", "subtitles"],
)
def test_not_audio(tmp_path: Path, ending: str, data: bytes) -> None:
    assert reason(written(tmp_path / f"a.{ending}", data)) == "not_audio"


def test_a_picture_is_not_audio(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.png"), "w", format="image2") as container:
        stream = container.add_stream("png")
        stream.width = stream.height = 16
        stream.pix_fmt = "rgb24"
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert reason((tmp_path / "a.png").rename(tmp_path / "a.wav")) == "not_audio"


def test_no_audio_track(tmp_path: Path) -> None:
    assert reason(silent_video(tmp_path / "a.mov")) == "no_audio_track"


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "opus", "ogg", "m4a", "aac", "webm"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.97])
def test_truncated(tmp_path: Path, ending: str, share: float) -> None:
    if (ending, share) == ("mp3", 0.01):
        pytest.skip("what is left is shorter than one MP3 frame: no format to recognise")
    data = encoded(tmp_path / f"a.{ending}", chirp(10, RATE, 2), RATE).read_bytes()
    path = written(tmp_path / f"cut.{ending}", data[: int(len(data) * share)])
    assert reason(tmp_path / f"a.{ending}") is None
    assert reason(path) == "truncated"


def test_truncated_header_only(tmp_path: Path) -> None:
    data = wav_bytes(chirp(1, RATE)[0], RATE)
    assert reason(written(tmp_path / "a.wav", data[:30])) == "truncated"


def test_truncated_sphere(tmp_path: Path) -> None:
    data = (audio_folder() / "formats" / "stereo.sph").read_bytes()
    assert reason(written(tmp_path / "a.sph", data[:20_000])) == "truncated"


def test_the_size_of_a_piped_wav_is_unknown(tmp_path: Path) -> None:
    data = bytearray(wav_bytes(chirp(1, RATE)[0], RATE))
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", 0xFFFFFFFF)
    assert reason(written(tmp_path / "a.wav", bytes(data))) is None


def test_less_than_the_tolerance_may_be_missing(tmp_path: Path) -> None:
    data = wav_bytes(chirp(1, RATE)[0], RATE)
    path = written(tmp_path / "a.wav", data[: -2 * RATE // 20])  # 50 ms
    assert reason(path) is None
    assert reason(path, DecodeLimits(missing_ms=49)) == "truncated"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_numbers(tmp_path: Path, value: float) -> None:
    audio = chirp(3, 8000)[0]
    audio[20_000] = value
    path = written(tmp_path / "a.wav", wav_bytes(audio, 8000, "FLOAT"))
    assert reason(path) == "nan_samples"


def test_silence(tmp_path: Path) -> None:
    silence = np.zeros(5 * 8000, np.float32)
    assert reason(written(tmp_path / "a.wav", wav_bytes(silence, 8000))) == "silent"
    silence[30_000] = 0.001  # -60 dBFS
    path = written(tmp_path / "b.wav", wav_bytes(silence, 8000))
    assert reason(path) is None
    assert reason(path, DecodeLimits(silence_dbfs=-50)) == "silent"


def test_no_samples(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", wav_bytes(np.zeros(0, np.float32), RATE))
    assert reason(path) == "no_samples"


def as_other_user(task: Callable[[], bool]) -> bool:
    """Run `task` in a child process as user 65534 (root may read everything)."""
    child = os.fork()
    if child == 0:
        code = 2
        try:
            os.setuid(65534)
            code = 0 if task() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")
@pytest.mark.parametrize("locked", ["file", "folder", "tar"])
def test_no_permission(locked: str) -> None:
    with tempfile.TemporaryDirectory() as made:  # unlike tmp_path, others may look inside
        folder = Path(made)
        folder.chmod(0o000 if locked == "folder" else 0o755)
        name = "a.tar" if locked == "tar" else "a.wav"
        path = written(folder / name, wav_bytes(chirp(1, 8000)[0], 8000))
        path.chmod(0o644 if locked == "folder" else 0o000)
        uri = f"{path}#b.wav" if locked == "tar" else str(path)
        assert as_other_user(lambda: reason(uri) == "permission_denied")


def test_ffmpeg_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = encoded(tmp_path / "a.mp3", chirp(5, RATE, 2), RATE).read_bytes()
    middle = len(data) // 2
    damaged = data[:middle] + bytes(range(256)) * 20 + data[middle + 5120 :]
    capfd.readouterr()
    reason(written(tmp_path / "b.mp3", damaged))
    reason(written(tmp_path / "c.wav", b"text" * 1000))
    assert capfd.readouterr() == ("", "")
