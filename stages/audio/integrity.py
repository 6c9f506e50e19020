"""What a file promises in its bytes and its header: its kind, and where its audio ends."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import IO, TYPE_CHECKING

from wavemill.stages.audio.tags import id3v2_bytes
from wavemill.stages.recording_stage import RecordingError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

# Container formats whose header states a duration; FFmpeg guesses that of others (ADTS, AMR, MP3
# without a Xing frame) from the bit rate, and takes that of Ogg from the last page.
STATED = {"flac", "wav", "w64", "aiff", "caf", "au", "nistsphere", "tta", "wv", "ape"}
MATROSKA = "matroska,webm"
MOV = "mov,mp4,m4a,3gp,3g2,mj2"
SIGNATURES = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"ID3", b"\x1aE\xdf\xa3", b"NIST_1A", b"FORM")
UNKNOWN_WAV_SIZE = 0x7FFFF000  # from here on (and 0) writers of pipes mean "unknown"
OGG_PAGE_LIMIT = 65307  # RFC 3533: no page is longer
OGG_HEADER = 27
MPEG1_RATE = 32_000  # Hz; from here on a frame has 1152 samples
MP3_PADDING = 8190  # samples: the most that a Xing frame states, of 12 bits at each end
XING_REACH = 4096  # the frame that may be a Xing frame is among the first bytes after the tag


def looks_like_audio(file: IO[bytes]) -> bool:
    """Tell whether the first bytes are those of an audio container (so that damage is damage)."""
    file.seek(0)
    head = file.read(12)
    return head.startswith(SIGNATURES) or head[4:8] == b"ftyp"


def check_bytes(uri: str, file: IO[bytes], missing_ms: int) -> None:
    """Raise RecordingError `truncated` where the bytes themselves show it.

    FFmpeg clamps the length of a cut WAV to what is there, and takes the last whole Ogg page for
    the end, so both are read here: the size in the data chunk, and whether the last page is whole.
    """
    file.seek(0)
    magic = file.read(4)
    missing_s = _missing_wav_seconds(file) if magic in (b"RIFF", b"RF64") else 0.0
    if missing_s * 1000 > missing_ms:
        raise RecordingError(
            "truncated", f"{uri}: the last {missing_s:.2f} s that its header promises are missing"
        )
    if magic == b"OggS" and _cut_ogg_page(file):
        raise RecordingError("truncated", f"{uri}: the last Ogg page is cut off")


def _missing_wav_seconds(file: IO[bytes]) -> float:
    size = file.seek(0, 2)
    file.seek(12)
    byte_rate, long_data = 0, 0
    while len(head := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", head)
        start = file.tell()
        if name == b"ds64":
            long_data = struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))[1]
        elif name == b"fmt ":
            byte_rate = struct.unpack("<HHII", file.read(12).ljust(12, b"\0"))[3]
        elif name == b"data":
            declared = long_data or (length if length < UNKNOWN_WAV_SIZE else 0)
            return max(0, declared - (size - start)) / byte_rate if byte_rate else 0.0
        file.seek(start + length + length % 2)
    return 0.0


def _cut_ogg_page(file: IO[bytes]) -> bool:
    """Tell whether the file ends inside a page (bytes of other kinds after the last are fine)."""
    size = file.seek(0, 2)
    begin = max(0, size - OGG_PAGE_LIMIT - OGG_HEADER)
    file.seek(begin)
    tail = file.read()
    ends = []
    at = tail.find(b"OggS\0")
    while at >= 0:
        segments = tail[at + OGG_HEADER - 1] if at + OGG_HEADER <= len(tail) else 255
        lacing = tail[at + OGG_HEADER : at + OGG_HEADER + segments]
        cut = len(lacing) < segments
        ends.append(len(tail) + 1 if cut else at + OGG_HEADER + segments + sum(lacing))
        at = tail.find(b"OggS\0", at + 1)
    # "OggS" may also occur inside a page by chance: one page that ends with the file is enough.
    return bool(ends) and len(tail) not in ends and ends[-1] > len(tail)


def stated_end(container: InputContainer, stream: AudioStream, file_head: bytes) -> Fraction | None:
    """Return where `stream` ends, in seconds, as its container states; None where it does not."""
    name = container.format.name
    if name == MATROSKA:
        return _matroska_end(container, stream)
    if name not in STATED and name not in (MOV, "mp3"):
        return None
    if stream.duration is None or stream.time_base is None:
        return None
    late = max(0, stream.start_time or 0) if name == MOV else 0
    end_s = Fraction((late + stream.duration) * stream.time_base)
    return None if name == "mp3" and not _xing_says(file_head, stream, end_s) else end_s


def _matroska_end(container: InputContainer, stream: AudioStream) -> Fraction | None:
    # The container's own duration is that of its longest track, which may be the video.
    tag = stream.metadata.get("DURATION", "").strip("\0")
    try:
        hours, minutes, seconds = tag.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    except ValueError:
        pass
    if container.duration is None or len(container.streams) > 1:
        return None
    return Fraction(container.duration, 1_000_000)


def _xing_says(head: bytes, stream: AudioStream, end_s: Fraction) -> bool:
    """Tell whether an MP3's length comes from the frames that its first frame counts.

    FFmpeg does not believe it where it counts less bytes than there are, as in MP3s that were
    joined, and guesses.
    """
    samples = 1152 if stream.sample_rate >= MPEG1_RATE else 576
    for mark, place in ((b"Xing", 8), (b"Info", 8), (b"VBRI", 14)):
        at = head.find(mark)
        if at >= 0:
            frames = int.from_bytes(head[at + place : at + place + 4], "big")
            surplus_s = Fraction(frames * samples, stream.sample_rate) - end_s
            return abs(surplus_s) * stream.sample_rate <= MP3_PADDING
    return False


def mp3_head(file: IO[bytes]) -> bytes:
    """Return the first bytes of a file after its ID3v2 tag (which may hold pictures)."""
    file.seek(0)
    tag = file.read(10)
    file.seek(id3v2_bytes(tag))
    return file.read(XING_REACH)
