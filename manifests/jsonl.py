"""Reading JSONL: one JSON object per line, plain or gzipped; a bad line does not affect others.

UTF-16, lines that end in CR, and one JSON array of objects are read too.
"""

from __future__ import annotations

import codecs
import gzip
import json
import math
import re
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any, BinaryIO

from wavemill.manifests.collected import stamp_of
from wavemill.manifests.config import LineLimits
from wavemill.manifests.filesystems import open_file, split_options
from wavemill.manifests.reasons import EntryError, Reason, os_error
from wavemill.manifests.uri import open_stable_copy

_DEFAULTS = LineLimits()
_BLOCK_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"
_LINE_END = re.compile(rb"[\r\n]")
# Python and pandas write these; the first stands for a missing value.
_CONSTANTS = {"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}
_LAST_COMMA = re.compile(r"(,\s*(?=\}\s*,?\s*$)|,\s*$)")  # `{"a": 1,}` and `{"a": 1},`
_BETWEEN = re.compile(r"[\s,]*")
_DECODER = json.JSONDecoder(parse_int=float)  # only finds ends; int() would refuse long numbers


class NotUtf8(EntryError):
    """A line that is not UTF-8."""

    def __init__(self, error: UnicodeDecodeError) -> None:
        byte = error.object[error.start]
        super().__init__(Reason.BAD_MANIFEST_LINE, f"not UTF-8: byte 0x{byte:02x}")


def read_lines(
    path: str, limits: LineLimits = _DEFAULTS, steady: bool = True
) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, bytes in UTF-8) of the lines that are not blank.

    Lines end at LF, CR or both, so that JSON texts may contain other separators. If the file is
    one JSON array, its elements are the lines. A line longer than `max_line_bytes` is cut after
    one more byte. The file is copied first, so that it cannot change meanwhile; `steady=False`
    reads it directly, to look at the first lines only. Raises EntryError if the file cannot be
    read or is not JSONL; the lines before a damaged place are yielded first.
    """
    stamp_of(path)  # refuses pipes and devices
    try:
        with open_stable_copy(path) if steady else open_file(path) as file:
            blocks = _in_utf8(_blocks(path, file, limits))
            first = next(blocks, b"")
            blocks = chain([first], blocks)
            if first.lstrip().startswith(b"["):
                yield from _elements(blocks, limits.max_line_bytes)
            else:
                yield from _checked(_lines(blocks, limits.max_line_bytes + 1))
    except UnicodeDecodeError as error:
        message = f"it is not the {error.encoding} that it seems; remedy: save it as UTF-8"
        raise EntryError(Reason.BAD_MANIFEST, message) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise EntryError(Reason.BAD_MANIFEST, f"the gzip file is damaged: {error}") from error
    except OSError as error:
        raise os_error(error) from error


def parse_object(line: bytes, limits: LineLimits = _DEFAULTS) -> dict[str, Any]:
    """Return the JSON object of one line, with None for NaN.

    Raises EntryError (`bad_manifest_line`), NotUtf8 if that is the reason.
    """
    if len(line) > limits.max_line_bytes:
        message = f"longer than {limits.max_line_bytes} bytes (sources.lines.max_line_bytes)"
        raise EntryError(Reason.BAD_MANIFEST_LINE, message)
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise NotUtf8(error) from error
    try:
        value = _parsed(text)
        if "\\ud" in text.lower():  # escapes can encode half a character, which a table cannot hold
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise EntryError(Reason.BAD_MANIFEST_LINE, f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise EntryError(Reason.BAD_MANIFEST_LINE, "not a JSON object")
    if text.count("{") + text.count("[") > limits.max_nesting:
        _check_nesting(value, limits.max_nesting)
    return value


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_CONSTANTS.__getitem__)
    except json.JSONDecodeError:
        mended = _LAST_COMMA.sub("", text)
        if mended == text:
            raise
        return json.loads(mended, parse_constant=_CONSTANTS.__getitem__)


def _check_nesting(value: Any, deepest: int) -> None:
    level = [value]
    for _ in range(deepest):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    message = f"nested more than {deepest} deep (sources.lines.max_nesting)"
    raise EntryError(Reason.BAD_MANIFEST_LINE, message)


def _blocks(path: str, file: BinaryIO, limits: LineLimits) -> Iterator[bytes]:
    """Yield the content of a file, unzipped if it is gzipped. Raises EntryError."""
    zipped = file.read(len(_GZIP)) == _GZIP or split_options(path)[0].lower().endswith(".gz")
    file.seek(0)
    if not zipped:
        yield from iter(partial(file.read, _BLOCK_BYTES), b"")
        return
    total = 0
    with gzip.open(file) as unzipped:
        # read1, so that the content before a damaged place is returned.
        for block in iter(partial(unzipped.read1, _BLOCK_BYTES), b""):
            total += len(block)
            if total > max(limits.unzip_anyway_bytes, limits.max_unzip_ratio * file.tell()):
                message = (
                    f"it unpacks to more than {total - len(block)} bytes,"
                    f" {limits.max_unzip_ratio:g} times its size (sources.lines.max_unzip_ratio)"
                )
                raise EntryError(Reason.BAD_MANIFEST, message)
            yield block


def _in_utf8(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the text in UTF-8, without a byte order mark. Raises UnicodeDecodeError."""
    first = next(blocks, b"")
    encoding = json.detect_encoding(first)
    if encoding.startswith("utf-8"):
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    for block in chain([first], blocks):
        yield decoder.decode(block).encode()
    yield decoder.decode(b"", final=True).encode()


def _lines(blocks: Iterator[bytes], longest: int) -> Iterator[tuple[int, bytes]]:
    """Yield (number, line) of the lines that are not blank, each cut to `longest` bytes."""
    number, rest = 0, b""
    for block in blocks:
        if len(rest) == longest:  # the rest of this line is dropped
            end = _LINE_END.search(block)
            if end is None:
                continue
            block = block[end.start() :]
        parts = (rest + block).splitlines(keepends=True)  # for bytes: at LF, CR, and both
        # The last line may continue, or its LF may follow its CR.
        rest = parts.pop()[:longest] if parts and not parts[-1].endswith(b"\n") else b""
        for number, part in enumerate(parts, start=number + 1):  # noqa: B020
            if line := part.strip():
                yield number, line[:longest]
    if line := rest.strip():
        yield number + 1, line


def _checked(lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Yield the lines. Raises EntryError for a JSON object over several lines."""
    for place, (number, line) in enumerate(lines):
        if place == 0 and line == b"{":
            message = "not JSONL: it must hold one JSON object a line, or be an array of them"
            raise EntryError(Reason.BAD_MANIFEST, message)
        yield number, line


def _elements(blocks: Iterator[bytes], longest: int) -> Iterator[tuple[int, bytes]]:
    """Yield (number from 1, JSON in UTF-8) of the elements of an array.

    Raises EntryError and UnicodeDecodeError.
    """
    texts = codecs.iterdecode(blocks, "utf-8")
    text, at, number = next(texts).lstrip()[1:], 0, 0
    while True:
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
        if text.startswith("]", at):
            break
        end = _end_of_value(text, at)
        if end is None or end == len(text):  # a number may continue
            more = "" if len(text) - at > longest else next(texts, "")
            if more:
                text, at = text[at:] + more, 0
                continue
        if end is None:
            message = f"a JSON array that is damaged, or ends early, after {number} elements"
            raise EntryError(Reason.BAD_MANIFEST, message)
        number += 1
        yield number, text[at:end].encode()
        at = end
    if text[at + 1 :].strip() or any(more.strip() for more in texts):
        raise EntryError(Reason.BAD_MANIFEST, "not JSONL: there is more after a JSON array")


def _end_of_value(text: str, at: int) -> int | None:
    """Return where a JSON value ends, None if the text ends before."""
    try:
        return _DECODER.raw_decode(text, at)[1]
    except json.JSONDecodeError:
        return None
    except RecursionError as error:
        raise EntryError(Reason.BAD_MANIFEST, "a JSON array nested too deep") from error
