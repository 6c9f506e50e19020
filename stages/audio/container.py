"""Opening a media file with FFmpeg (through PyAV) and finding its audio track."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import IO, TYPE_CHECKING, cast

from stages.audio.integrity import looks_like_audio, mp3_head, stated_duration
from stages.audio.source import open_source
from stages.recording_stage import RecordingError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

# No protocol has this name, so a playlist posing as audio cannot make FFmpeg open anything else.
NO_PROTOCOL = {"protocol_whitelist": "none"}
READ_BYTES = 1 << 18  # per call into Python
STILL_PICTURES = ("image2", "gif", "apng")


@dataclass(frozen=True, slots=True)
class Media:
    """An opened media file and its audio track."""

    uri: str
    file: IO[bytes]
    container: InputContainer
    stream: AudioStream
    stated_s: Fraction | None  # duration as the container states it
    known_format: bool  # the file begins like an audio container


@contextmanager
def open_media(uri: str, recording_id: str | None = None) -> Iterator[Media]:
    """Open `uri` and choose its best audio track; nothing is decoded and FFmpeg stays silent.

    Raises RecordingError with the reasons of `open_source`, and `not_audio`, `no_audio_track`,
    `truncated` (the header is cut off or damaged).
    """
    import av

    av.logging.set_level(None)
    with open_source(uri, recording_id) as file:
        known = looks_like_audio(file)
        head = mp3_head(file)
        file.seek(0)
        try:
            container = av.open(
                file,
                mode="r",
                metadata_errors="ignore",
                options=NO_PROTOCOL,
                buffer_size=READ_BYTES,
            )
        except (av.error.FFmpegError, EOFError) as error:
            raise _not_opened(uri, known) from error
        with container:
            stream = _audio_stream(uri, container, known)
            stated = stated_duration(container, stream, head)
            yield Media(uri, file, container, stream, stated, known)


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
