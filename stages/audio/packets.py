"""The packets of an audio track in order, and what is lost between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from wavemill.stages.audio.container import Media
from wavemill.stages.audio.mp3 import is_mp3_frame, last_mp3_frame
from wavemill.stages.audio.tags import end_of_filler
from wavemill.stages.audio.timeline import Piece, Times

if TYPE_CHECKING:
    import av

MAX_BREAKS = 8  # attempts to read on where a container is damaged, without one packet between
OGG_FLAGS = 5  # where a page has its flags, and the one of a stream's first page
OGG_FIRST = 2
OGG_PAGE_HEADER = 27 + 255  # bytes at most
SWOLLEN = 4  # so many times the mean of bytes per second: strange bytes behind a frame
SYNC_BYTES = 2  # so many bytes at its start are the same in all frames of a raw stream


class Packets:
    """The packets of a medium as pieces, with how much audio lies in bytes that are in none.

    FFmpeg puts the bytes between two MP3 frames in front of the second one: they are cut off.
    Tags there, and zeros from frame to frame, are no loss.
    """

    def __init__(self, media: Media, jitter_ms: int) -> None:
        self._media = media
        self._jitter_ms = jitter_ms
        self._is_mp3 = media.format == "mp3"
        self._is_ogg = media.format == "ogg"
        # Where other tracks or an index lie between packets, their places show nothing.
        self._contiguous = media.times == Times.SET and len(media.container.streams) == 1
        self._end: int | None = None  # of the last packet, in the file
        self._last_pos: int | None = None
        self._filler_end = 0
        self._bytes = 0
        self._seconds = 0.0
        self._head = b""  # the first bytes of the last packet
        self.broken = False  # the container could not be read on since the last packet
        self.odd = False  # some bytes were in no packet, or a packet did not say how long it is

    def __iter__(self) -> Iterator[Piece[av.Packet]]:
        base = self._media.stream.time_base
        unit_s = base.numerator / base.denominator if base else 0.0
        for packet, whole, lost in self._frames() if self._is_mp3 else self._others():
            duration, pts = packet.duration, packet.pts
            seconds = duration * unit_s if duration else 0.0
            time_s = None if pts is None else pts * unit_s
            if not packet.size:  # what the decoder still holds
                yield Piece(packet, None, 0.0)
                continue
            lost_s = self._seconds_in(lost)
            if self._is_ogg and lost and self._pages_lost(lost_s):
                time_s = None  # FFmpeg gives it the time of the page that was lost
            self.odd |= not seconds or self.broken or self._is_swollen(whole, seconds)
            self._note(packet, whole, seconds)
            damaged = self.broken or (lost_s > 0 and (self._is_mp3 or time_s is None))
            self.broken = False
            yield Piece(whole, time_s, seconds, lost_s, damaged)

    def tail_s(self) -> float:
        """Return how much audio bytes of no known kind after the last MP3 frame could hold."""
        if not self._is_mp3 or self._end is None:
            return 0.0
        return self._seconds_in(self._media.bytes - self._filler(self._end))

    def failed(self, piece: Piece[av.Packet]) -> float | None:
        """Return how much audio was in a packet that cannot be decoded; None where it is none.

        In a stream of frames a packet may be what lies between two of them.
        """
        packet = piece.payload
        if self._media.times != Times.COUNTED:
            return piece.seconds
        if self._head and bytes(memoryview(packet)[:SYNC_BYTES]) != self._head:
            return None
        self._bytes -= packet.size
        self._seconds -= piece.seconds
        if self._is_swollen(packet, piece.seconds):
            return self._seconds_in(packet.size)
        return piece.seconds

    def good(self, packet: av.Packet) -> None:
        """Note a packet that could be decoded."""
        if packet.size:
            self._head = bytes(memoryview(packet)[:SYNC_BYTES])

    def _demuxed(self) -> Iterator[av.Packet]:
        """Yield the packets of the track; after damage to the container, those that follow it."""
        import av

        breaks = 0
        while breaks < MAX_BREAKS:
            try:
                for packet in self._media.container.demux(self._media.stream):
                    breaks = 0
                    yield packet
                return
            except (av.error.FFmpegError, EOFError):
                breaks += 1
                self.broken = True

    def _others(self) -> Iterator[tuple[av.Packet, av.Packet, int]]:
        """Yield each packet twice, with the number of bytes that are missing before it."""
        header = OGG_PAGE_HEADER if self._is_ogg else 0
        for packet in self._demuxed():
            lost = self._skipped(packet) - header if self._contiguous and packet.size else 0
            yield packet, packet, max(0, lost)

    def _frames(self) -> Iterator[tuple[av.Packet, av.Packet, int]]:
        """Yield MP3 packets, the frames in them, and the number of bytes lost before those.

        What begins after strange bytes is a frame where another one follows it.
        """
        held: tuple[av.Packet, av.Packet, int] | None = None
        for packet in self._demuxed():
            if held is not None:
                stop = (held[0].pos or 0) + held[0].size
                follows = packet.size and packet.pos == stop and is_mp3_frame(memoryview(packet))
                at_end = not packet.size and self._filler(stop) == self._media.bytes
                if follows or at_end:
                    yield held
                held = None
            if not packet.size:
                yield packet, packet, 0
            elif (found := self._frame_of(packet)) is not None:
                frame, lost = found
                if lost:
                    held = packet, frame, lost
                else:
                    yield packet, frame, 0

    def _filler(self, start: int) -> int:
        return end_of_filler(self._media.file, start, self._media.bytes)

    def _frame_of(self, packet: av.Packet) -> tuple[av.Packet, int] | None:
        """Return the frame in an MP3 packet and how many bytes were lost before it.

        None where there is none. Bytes of no frame stay in the gap after the last one, to be
        judged when the next begins.
        """
        import av

        begin = packet.pos or 0
        gap = begin if self._end is None else self._end
        if gap == begin and is_mp3_frame(memoryview(packet)):
            self.good(packet)
            return packet, 0
        self.odd = True
        self._filler_end = max(self._filler_end, self._filler(gap))
        if self._filler_end >= begin + packet.size:
            return None
        data = bytes(packet)
        clean = self._filler_end - begin
        if clean >= 0 and is_mp3_frame(data[clean:]):
            return av.Packet(data[clean:]), 0
        at = last_mp3_frame(data)
        return None if at is None else (av.Packet(data[at:]), begin + at - gap)

    def _skipped(self, packet: av.Packet) -> int:
        """Return how many bytes lie between a packet and the one before; pages hold several."""
        if self._end is None or packet.pos is None or packet.pos == self._last_pos:
            return 0
        return int(packet.pos - self._end)

    def _is_swollen(self, packet: av.Packet, seconds: float) -> bool:
        """Tell whether a packet of a stream of frames must hold more than its one frame."""
        if self._is_mp3 or self._media.times != Times.COUNTED:
            return False
        return packet.size * self._seconds > SWOLLEN * seconds * self._bytes

    def _pages_lost(self, lost_s: float) -> bool:
        """Tell whether bytes that would hold so much were sound, and no header of a new stream."""
        if lost_s * 1000 <= self._jitter_ms or self._end is None:
            return False
        file = self._media.file
        position = file.tell()
        file.seek(self._end)
        page = file.read(OGG_FLAGS + 1)
        file.seek(position)
        begins_stream = page[:4] == b"OggS" and page[-1] & OGG_FIRST
        return not begins_stream

    def _note(self, packet: av.Packet, whole: av.Packet, seconds: float) -> None:
        position = packet.pos
        if position is not None:
            again = position == self._last_pos and self._end is not None
            begin = self._end if again and self._end is not None else position
            self._end = begin + packet.size
            self._last_pos = position
        self._bytes += whole.size
        self._seconds += seconds

    def _seconds_in(self, count: int) -> float:
        """Return how much audio so many bytes hold, as the packets so far do."""
        return max(0, count) * self._seconds / self._bytes if self._bytes else 0.0
