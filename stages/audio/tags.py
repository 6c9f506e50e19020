"""Bytes in a stream of frames that are no audio and no damage: tags, headers, padding."""

from __future__ import annotations

import struct
from typing import IO

ID3V1_BYTES = 128
APE_HEAD_BYTES = 32
LYRICS_REACH = 1 << 20  # Lyrics3 v2 states its size in six digits
LYRICS_ENDS = (b"LYRICS200", b"LYRICSEND")
READ_BYTES = 1 << 16


def end_of_filler(file: IO[bytes], start: int, end: int) -> int:
    """Return where tags, repeated headers and zeros end that begin at `start`, at most `end`.

    Knows ID3v1, ID3v2, APEv2, Lyrics3 and the header of another FLAC. `file` keeps its position.
    """
    position = file.tell()
    try:
        while start < end:
            length = _filler_bytes(file, start, end)
            if length <= 0:
                break
            start += length
        return min(start, end)
    finally:
        file.seek(position)


def _filler_bytes(file: IO[bytes], start: int, end: int) -> int:
    """Return the length of the one piece of filler at `start`; 0 where there is none."""
    file.seek(start)
    head = file.read(APE_HEAD_BYTES)
    if head.startswith(b"\0"):
        return _zeros(file, start, end)
    if head.startswith(b"TAG"):
        return ID3V1_BYTES
    if head.startswith(b"APETAGEX") and len(head) == APE_HEAD_BYTES:
        return _ape_bytes(head)
    if head.startswith(b"LYRICSBEGIN"):
        return _lyrics_bytes(file, start)
    if head.startswith(b"fLaC"):
        return _flac_header_bytes(file, start, end)
    return id3v2_bytes(head)


def id3v2_bytes(head: bytes) -> int:
    """Return the length of the ID3v2 tag that begins with `head`; 0 where there is none."""
    if not head.startswith(b"ID3") or len(head) < 10:
        return 0
    # The length stands in four bytes of seven bits; a footer repeats the ten bytes of the header.
    length = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return 10 + length + (10 if head[5] & 0x10 else 0)


def _ape_bytes(head: bytes) -> int:
    _, size, _, flags = struct.unpack("<IIII", head[8:24])
    is_header = bool(flags & 1 << 29)
    return APE_HEAD_BYTES + (size if is_header else 0)  # a footer alone ends its tag


def _lyrics_bytes(file: IO[bytes], start: int) -> int:
    file.seek(start)
    data = file.read(LYRICS_REACH)
    ends = [at + len(mark) for mark in LYRICS_ENDS if (at := data.find(mark)) >= 0]
    return min(ends, default=0)


def _flac_header_bytes(file: IO[bytes], start: int, end: int) -> int:
    at, last = start + 4, False
    while not last and at < end:
        file.seek(at)
        head = file.read(4)
        if len(head) < 4:
            break
        last = bool(head[0] & 0x80)
        at += 4 + int.from_bytes(head[1:], "big")
    return at - start


def _zeros(file: IO[bytes], start: int, end: int) -> int:
    file.seek(start)
    length = 0
    while start + length < end and (data := file.read(READ_BYTES)):
        rest = data.lstrip(b"\0")
        length += len(data) - len(rest)
        if rest:
            break
    return length
