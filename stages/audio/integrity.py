"""Whether a file holds all the audio that it promises: header promises, missing parts."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import IO, TYPE_CHECKING

from stages.recording_stage import RecordingError

if TYPE_CHECKING:
    import av
    from av.audio.stream import AudioStream
    from av.container import InputContainer

# Container formats whose header (or last page) states a duration; FFmpeg guesses that of others
# (ADTS, AMR, MP3 without a Xing frame) from the bit rate.
STATED = {"flac", "wav", "w64", "aiff", "caf", "au", "nistsphere", "ogg", "mov,mp4,m4a,3gp,3g2,mj2"}
MATROSKA = "matroska,webm"
SIGNATURES = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"ID3", b"\x1aE\xdf\xa3", b"NIST_1A", b"FORM")
UNKNOWN_WAV_SIZE = 0x7FFFF000  # from here on (and 0) writers of pipes mean "unknown"
OGG_PAGE_LIMIT = 65307  # RFC 3533: no page is longer
OGG_HEADER = 27
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


def stated_duration(
    container: InputContainer, stream: AudioStream, file_head: bytes
) -> Fraction | None:
    """Return the seconds that the container states for `stream`; None where it states none."""
    name = container.format.name
    if name == MATROSKA:
        return _matroska_duration(container, stream)
    if name not in STATED and not (name == "mp3" and _has_xing(file_head)):
        return None
    if stream.duration is None or stream.time_base is None:
        return None
    return stream.duration * stream.time_base


def _matroska_duration(container: InputContainer, stream: AudioStream) -> Fraction | None:
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


def _has_xing(head: bytes) -> bool:
    return any(mark in head for mark in (b"Xing", b"Info", b"VBRI"))


def mp3_head(file: IO[bytes]) -> bytes:
    """Return the first bytes of a file after its ID3v2 tag (which may hold pictures)."""
    file.seek(0)
    tag = file.read(10)
    skip = 0
    if tag[:3] == b"ID3" and len(tag) == 10:  # length in four bytes of seven bits
        skip = 10 + (tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9])
    file.seek(skip)
    return file.read(XING_REACH)


@dataclass(slots=True)
class Continuity:
    """Follows decoding and raises when audio is missing: in the middle, or at the end."""

    uri: str
    missing_ms: int  # so much may be missing at the end
    gap_ms: int  # ... and in one place before it
    stated_s: Fraction | None
    decoded_s: float = 0.0
    expected_s: float | None = None  # where the next frame should start
    failed: bool = False  # some packet could not be decoded
    pending: bool = False  # ... and nothing was decoded since
    pending_s: float = 0.0

    def packet_failed(self, packet: av.Packet) -> None:
        """Note a packet that could not be decoded."""
        seconds = packet.duration * packet.time_base if packet.duration and packet.time_base else 0
        self.pending_s += float(seconds)
        self.failed = self.pending = True

    def container_failed(self) -> None:
        """Note that the container could not be read on."""
        self.failed = self.pending = True

    def frame(self, frame: av.AudioFrame) -> None:
        """Note a decoded frame; raises RecordingError `decode_error` after a gap."""
        seconds = frame.samples / frame.sample_rate
        gap = self.pending_s if self.expected_s is not None else 0.0
        if frame.time is not None:
            if self.expected_s is not None:
                gap = max(gap, frame.time - self.expected_s)
            self.expected_s = frame.time + seconds
        if gap * 1000 > self.gap_ms:
            raise RecordingError(
                "decode_error",
                f"{self.uri}: {gap:.2f} s of audio at {self.decoded_s:.2f} s cannot be decoded",
            )
        self.decoded_s += seconds
        self.pending, self.pending_s = False, 0.0

    def end(self, known_format: bool) -> None:
        """Note the end; raises `truncated`, `decode_error`, `not_audio` or `no_samples`."""
        if self.decoded_s == 0:
            self._nothing_decoded(known_format)
        short_s = float(self.stated_s) - self.decoded_s if self.stated_s is not None else 0.0
        too_short = short_s * 1000 > self.missing_ms
        if too_short and self.failed and not self.pending:
            raise RecordingError(
                "decode_error", f"{self.uri}: {short_s:.2f} s of audio cannot be decoded"
            )
        cut = self.pending and (self.stated_s is None or short_s > 0)
        if too_short or cut:
            stated = f" of {float(self.stated_s):.2f} s" if self.stated_s is not None else ""
            raise RecordingError(
                "truncated", f"{self.uri}: the audio ends after {self.decoded_s:.2f} s{stated}"
            )

    def _nothing_decoded(self, known_format: bool) -> None:
        if not known_format:
            raise RecordingError("not_audio", f"{self.uri}: no audio could be decoded")
        if self.failed or self.stated_s:
            raise RecordingError("truncated", f"{self.uri}: cut off before the first audio")
        raise RecordingError("no_samples", f"{self.uri}: the audio track is empty")
