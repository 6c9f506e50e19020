"""Reading the headers of a tar file; no header can make the reader hang or fill the memory.

Formats: v7, ustar and pax (POSIX.1-2017, `pax`), GNU (https://www.gnu.org/software/tar/manual,
"Basic Tar Format" and "Sparse Formats"). Python's own `tarfile` goes back in the file if a
size is negative, allocates what a header states, and hides what it cannot read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import BinaryIO

Extents = tuple[tuple[int, int], ...]  # (offset in the member, bytes), in order

BLOCK = 512
MAX_EXTENSION_BYTES = 1 << 20  # of a long name, pax records or a sparse map
MAX_PADDING_BYTES = 1 << 20  # zeros after the end of an archive, before another one

_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")
_DECIMAL = re.compile(rb"[0-9]{1,19}")
_POSIX_MAGIC, _GNU_MAGIC = b"ustar\0", b"ustar "
_LONG_NAME, _LONG_LINK, _SPARSE = b"L", b"K", b"S"
_RECORDS, _GLOBAL_RECORDS = (b"x", b"X"), b"g"
_FILES = (b"0", b"\0", b"7")
_WITHOUT_DATA = frozenset(b"123456")
_SPARSE_PAIR = 24  # bytes of one (offset, count) of GNU's old sparse format
_OTHER = {b"3": "a device", b"4": "a device", b"6": "a named pipe", b"M": "the rest of a file"}


class TarDamage(Exception):
    """From some byte on, nothing can be read; the message says from where and why."""


class Kind(Enum):
    FILE = auto()
    FOLDER = auto()
    HARD_LINK = auto()
    SYMBOLIC_LINK = auto()
    UNUSABLE = auto()


@dataclass(frozen=True, slots=True)
class Header:
    """One member: `size` bytes from `offset` of the tar file, or a link."""

    name: str
    kind: Kind
    offset: int = 0
    size: int = 0
    extents: Extents | None = None  # the stored parts of a sparse file
    link: str = ""
    why: str = ""  # for UNUSABLE: the reason


def read_headers(file: BinaryIO, size: int) -> Iterator[Header]:
    """Yield the members of the tar file of `size` bytes, also of archives appended to it.

    Raises TarDamage after the members before a damaged place, and OSError.
    """
    at: int | None = 0
    while at is not None:
        archive = _Archive(file, size, at)
        yield from archive.headers()
        at = _next_archive(file, size, archive.at)


def _next_archive(file: BinaryIO, size: int, end: int) -> int | None:
    """Return where the archive after the one that ended at `end` begins, None without one."""
    file.seek(end)
    padding = file.read(MAX_PADDING_BYTES)
    rest = padding.lstrip(b"\0")
    if rest:
        return end + (len(padding) - len(rest)) // BLOCK * BLOCK
    if end + len(padding) < size:
        raise TarDamage(f"{size - end - len(padding)} bytes after its end were not read")
    return None


class _Archive:
    """One archive of the file, from `at` on."""

    def __init__(self, file: BinaryIO, size: int, at: int) -> None:
        self._file = file
        self._size = size
        self.at = at  # where the next header is expected
        self._everywhere: dict[str, bytes] = {}  # global pax records

    def headers(self) -> Iterator[Header]:
        name = link = None
        records: list[tuple[str, bytes]] = []
        while (block := self._block()) is not None:
            kind = block[156:157]
            if kind in (_LONG_NAME, _LONG_LINK):
                text = _text(self._extension(block))
                name, link = (text, link) if kind == _LONG_NAME else (name, text)
            elif kind in _RECORDS:
                records = _records(self._extension(block))
            elif kind == _GLOBAL_RECORDS:
                self._everywhere |= dict(_records(self._extension(block)))
            else:
                yield self._member(block, name, link, records)
                name, link, records = None, None, []
        if name is not None or link is not None or records:
            raise TarDamage(f"it ends at byte {self.at}, where a member should follow its name")

    def _block(self) -> bytes | None:
        """Return the next header, with a valid checksum; None at the end of the archive."""
        self._file.seek(self.at)
        block = self._file.read(BLOCK)
        if not any(block) and (block or self.at):
            return None
        if len(block) < BLOCK:
            raise TarDamage(f"it ends within the header at byte {self.at}")
        if not _checksum_fits(block):
            raise TarDamage(f"no member header at byte {self.at}")
        return block

    def _extension(self, block: bytes) -> bytes:
        """Return the data of a header that describes the next one."""
        size = self._number(block[124:136])
        if size > MAX_EXTENSION_BYTES:
            raise TarDamage(f"the header at byte {self.at} states {size} bytes of names")
        content = self._file.read(size)
        if len(content) < size:
            raise TarDamage(f"it ends within the header at byte {self.at}")
        self.at += BLOCK + _padded(size)
        return content

    def _number(self, field: bytes) -> int:
        if field[0] == 0x80:  # GNU: too large for octal digits
            return int.from_bytes(field[1:], "big")
        found = _OCTAL.fullmatch(field)
        if found is None:
            raise TarDamage(f"the header at byte {self.at} states an impossible size")
        return int(found.group(1) or b"0", 8)

    def _member(
        self, block: bytes, name: str | None, link: str | None, records: list[tuple[str, bytes]]
    ) -> Header:
        known = {**self._everywhere, **dict(records)}
        kind = block[156:157]
        if name is None:
            name = _text(known.get("GNU.sparse.name") or known.get("path") or _own_name(block))
        if link is None:
            link = _text(known.get("linkpath") or block[157:257])
        stored = self._stored_bytes(block, known)
        header_at, offset = self.at, self.at + BLOCK
        extents, real_size = None, stored
        why = "" if kind in _FILES else _OTHER.get(kind, f"a member of the unknown type {kind!r}")
        try:
            if kind == _SPARSE:
                why = ""
                extents, real_size, offset = self._old_sparse(block, offset)
            elif "GNU.sparse.major" in known or "GNU.sparse.size" in known:
                extents, real_size, offset = self._pax_sparse(known, records, offset)
        except ValueError as error:
            why = f"a sparse member whose map cannot be read ({error})"
        # The map of the newest sparse format is part of the stored bytes, that of the oldest not.
        map_bytes = 0 if kind == _SPARSE else offset - header_at - BLOCK
        begin = offset - map_bytes
        if kind[0] in _WITHOUT_DATA:
            self.at = begin
        elif begin + stored > self._size:
            raise TarDamage(f"it ends within {name!r}")
        else:
            self.at = begin + _padded(stored)
        if extents is not None and not why:
            why = _wrong_extents(extents, real_size, stored - map_bytes)
        if kind == b"5" or (kind in _FILES and name.endswith("/") and not stored):
            return Header(name, Kind.FOLDER)
        if kind in (b"1", b"2"):
            return Header(name, Kind.HARD_LINK if kind == b"1" else Kind.SYMBOLIC_LINK, link=link)
        if why:
            return Header(name, Kind.UNUSABLE, why=why)
        return Header(name, Kind.FILE, offset, real_size, extents)

    def _stored_bytes(self, block: bytes, known: dict[str, bytes]) -> int:
        if "size" not in known:
            return self._number(block[124:136])
        try:
            return _decimal(known["size"])
        except ValueError as error:
            raise TarDamage(f"the header at byte {self.at} states an impossible size") from error

    def _old_sparse(self, block: bytes, offset: int) -> tuple[Extents, int, int]:
        """Return extents, size and offset of the data, in GNU's old sparse format."""
        if not block.startswith(_GNU_MAGIC, 257):
            raise ValueError("not in GNU's format")
        pairs, more = block[386:482], block[482]
        while more:
            if len(pairs) > MAX_EXTENSION_BYTES:
                raise TarDamage(f"the header at byte {self.at} states too long a sparse map")
            extension = self._file.read(BLOCK)
            if len(extension) < BLOCK:
                raise TarDamage(f"it ends within the header at byte {self.at}")
            pairs, more, offset = pairs + extension[:504], extension[504], offset + BLOCK
        extents = []
        for at in range(0, len(pairs), _SPARSE_PAIR):
            pair = pairs[at : at + _SPARSE_PAIR]
            if pair[0]:
                extents.append((self._number(pair[:12]), self._number(pair[12:])))
        return tuple(extents), self._number(block[483:495]), offset

    def _pax_sparse(
        self, known: dict[str, bytes], records: list[tuple[str, bytes]], offset: int
    ) -> tuple[Extents, int, int]:
        """Return extents, size and offset of the data, in the sparse formats 0.0, 0.1 and 1.0."""
        if "GNU.sparse.map" in known:
            numbers = [_decimal(part) for part in known["GNU.sparse.map"].split(b",")]
        elif "GNU.sparse.size" in known:
            names = ("GNU.sparse.offset", "GNU.sparse.numbytes")
            numbers = [_decimal(value) for key, value in records if key in names]
        elif known["GNU.sparse.major"] == b"1":
            numbers, offset = self._sparse_map(offset)
        else:
            raise ValueError(f"format {known['GNU.sparse.major']!r:.20}")
        size = known.get("GNU.sparse.realsize", known.get("GNU.sparse.size", b""))
        return tuple(zip(numbers[::2], numbers[1::2], strict=True)), _decimal(size), offset

    def _sparse_map(self, offset: int) -> tuple[list[int], int]:
        """Return the numbers before the data, one per line, and the offset of the data."""
        text = b""
        wanted = None
        while wanted is None or text.count(b"\n") < wanted:
            block = self._file.read(BLOCK)
            if len(block) < BLOCK or len(text) > MAX_EXTENSION_BYTES:
                raise ValueError("it does not end")
            text += block
            offset += BLOCK
            if wanted is None:
                wanted = 1 + 2 * _decimal(text.partition(b"\n")[0])
        return [_decimal(line) for line in text.split(b"\n")[1:wanted]], offset


def _wrong_extents(extents: Extents, size: int, stored: int) -> str:
    """Return what is wrong with a sparse map, "" if nothing is."""
    end = 0
    for offset, count in extents:
        if offset < end:
            return "a sparse member whose parts overlap"
        end = offset + count
    if end > size:
        return "a sparse member whose parts reach beyond its end"
    if sum(count for _, count in extents) > stored:
        return "a sparse member of which not all parts are stored"
    return ""


def _own_name(block: bytes) -> bytes:
    name, prefix = block[:100].split(b"\0")[0], block[345:500].split(b"\0")[0]
    return prefix + b"/" + name if prefix and block.startswith(_POSIX_MAGIC, 257) else name


def _checksum_fits(block: bytes) -> bool:
    found = _OCTAL.fullmatch(block[148:156])
    if found is None:
        return False
    stated = int(found.group(1) or b"0", 8)
    rest = block[:148] + b" " * 8 + block[156:]
    unsigned = sum(rest)
    # Old tars summed signed bytes.
    return stated == unsigned or stated == unsigned - 256 * sum(byte > 127 for byte in rest)


def _records(content: bytes) -> list[tuple[str, bytes]]:
    """Return the pax records in order, up to the first broken one."""
    records, at = [], 0
    while at < len(content):
        digits = content[at : at + 20].partition(b" ")[0]
        if _DECIMAL.fullmatch(digits) is None or int(digits) <= len(digits):
            break
        key, sign, value = content[at + len(digits) + 1 : at + int(digits)].partition(b"=")
        if not sign:
            break
        records.append((key.decode("utf-8", "replace"), value.removesuffix(b"\n")))
        at += int(digits)
    return records


def _decimal(digits: bytes) -> int:
    if _DECIMAL.fullmatch(digits) is None:
        raise ValueError("a number is wrong")
    return int(digits)


def _text(content: bytes) -> str:
    """Return a name; bytes that are not UTF-8 become lone surrogates."""
    return content.split(b"\0")[0].decode("utf-8", "surrogateescape")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
