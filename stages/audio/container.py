"""Opening a media file with FFmpeg (through PyAV) and finding its audio track."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import IO, TYPE_CHECKING, Any, cast

from wavemill.stages.audio.integrity import looks_like_audio, mp3_head, stated_end
from wavemill.stages.audio.limits import DecodeLimits
from wavemill.stages.audio.source import open_source
from wavemill.stages.audio.timeline import Times
from wavemill.stages.recording_stage import RecordingError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

# No protocol has this name, so a playlist posing as audio cannot make FFmpeg open anything else.
NO_PROTOCOL = {"protocol_whitelist": "none"}
READ_BYTES = 1 << 18  # per call into Python
STILL_PICTURES = ("image2", "gif", "apng")
TIMED = {
    "matroska,webm",
    "mov,mp4,m4a,3gp,3g2,mj2",
    "mpegts",
    "mpeg",
    "flv",
    "asf",
    "ogg",
    "nut",
    "rm",
}
NUMBERED = {"flac", "wv", "tta", "ape"}
SLACK = {"asf"}  # its codecs end a frame in the packet after the one that it begins in
ANY_ZERO = 0x200  # FFmpeg's AVFMT_TS_DISCONT: times begin anywhere, so the first of them is zero


@dataclass(frozen=True, slots=True)
class Media:
    """An opened media file and its audio track."""

    uri: str
    file: IO[bytes]
    container: InputContainer
    stream: AudioStream
    bytes: int
    stated_s: Fraction | None  # where the container states that the track ends
    known_format: bool  # the file begins like an audio container
    times: Times
    zero_s: float  # the container's zero, in its own times

    @property
    def format(self) -> str:
        return str(self.container.format.name)

    @property
    def slack(self) -> bool:
        return self.format in SLACK


@contextmanager
def open_media(uri: str, limits: DecodeLimits, recording_id: str | None = None) -> Iterator[Media]:
    """Open `uri` and choose its best audio track; nothing is decoded and FFmpeg stays silent.

    Raises RecordingError with the reasons of `open_source`, and `not_audio`, `no_audio_track`,
    `truncated` (the header is cut off or damaged), `implausible_rate`.
    """
    import av

    av.logging.set_level(None)
    with open_source(uri, recording_id) as file:
        known = looks_like_audio(file)
        head = mp3_head(file)
        size = file.seek(0, 2)
        try:
            container = _opened(file)
        except (av.error.FFmpegError, EOFError) as error:
            raise _not_opened(uri, known) from error
        with container:
            stream = _audio_stream(uri, container, known)
            check_rate(uri, stream.sample_rate, stream.channels, limits)
            stated = stated_end(container, stream, head)
            times, zero_s = _times(container)
            yield Media(uri, file, container, stream, size, stated, known, times, zero_s)


def _opened(file: IO[bytes]) -> InputContainer:
    import av

    def again(**more: str) -> InputContainer:
        file.seek(0)
        opened: Any = av.open  # the stubs know the arguments of one version
        return cast(
            "InputContainer",
            opened(file, mode="r", options=NO_PROTOCOL, buffer_size=READ_BYTES, **more),
        )

    try:
        return again()
    except UnicodeDecodeError:  # tags; PyAV before 19 alone reads them strictly, unless it is told
        return again(metadata_errors="ignore")


def check_rate(uri: str, sample_rate: int, channels: int, limits: DecodeLimits) -> None:
    """Raise RecordingError `implausible_rate` for what no recording has; 0 is not yet known."""
    low, high = limits.min_source_rate, limits.max_source_rate
    if sample_rate and not low <= sample_rate <= high:
        raise RecordingError(
            "implausible_rate",
            f"{uri}: a sample rate of {sample_rate} Hz ({low} to {high} are read)",
        )
    if channels > limits.max_source_channels:
        raise RecordingError(
            "implausible_rate",
            f"{uri}: {channels} channels (up to {limits.max_source_channels} are read)",
        )


def check_bit_rate(media: Media, seconds: float, limits: DecodeLimits) -> None:
    """Raise RecordingError `implausible_bit_rate` for more sound than a file's bytes can hold."""
    if media.bytes * 8 < limits.min_bit_rate * seconds:
        raise RecordingError(
            "implausible_bit_rate",
            f"{media.uri}: {media.bytes} bytes claim to hold {seconds:.0f} s of audio",
        )


def _times(container: InputContainer) -> tuple[Times, float]:
    """Return what the times of a format are worth, and the one that is its zero."""
    name = container.format.name
    if name in NUMBERED:
        return Times.NUMBERED, 0.0
    if name not in TIMED:
        return Times.COUNTED, 0.0
    begins_anywhere = int(container.format.flags) & ANY_ZERO and container.start_time is not None
    return Times.SET, container.start_time / 1_000_000 if begins_anywhere else 0.0


def _not_opened(uri: str, known: bool) -> RecordingError:
    if known:
        return RecordingError("truncated", f"{uri}: its header is cut off or damaged")
    return RecordingError("not_audio", f"{uri}: no audio format is recognised")


def _audio_stream(uri: str, container: InputContainer, known: bool) -> AudioStream:
    best = container.streams.best("audio")
    if best is not None:
        return cast("AudioStream", best)
    if container.streams.audio:  # a track of which not even the sample rate could be found
        raise _not_opened(uri, known)
    name = container.format.name
    if container.streams.video and not name.endswith("_pipe") and name not in STILL_PICTURES:
        raise RecordingError("no_audio_track", f"{uri}: holds video but no audio track")
    raise RecordingError("not_audio", f"{uri}: is no audio ({name})")
