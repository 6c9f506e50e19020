"""Reading JSONL: one JSON object a line, plain or gzipped, a bad line harming no other."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import IO, Any, NoReturn, cast

from manifests.filesystems import split_options
from manifests.reasons import EntryError, Reason, os_error
from manifests.steady import open_steady

_BOM = b"\xef\xbb\xbf"


def read_lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, bytes) of the lines that are not blank.

    Lines are split at line feeds only, so that JSON texts may hold any other separator.
    Raises EntryError: what cannot be read, or is no JSONL as a whole; after the lines before
    a damaged place of a gzip file.
    """
    first = True
    try:
        with open_steady(path) as raw_file, _unzipped(path, raw_file) as file:
            for number, raw in enumerate(file, start=1):
                line = (raw.removeprefix(_BOM) if number == 1 else raw).strip()
                if not line:
                    continue
                if first and (line.startswith(b"[") or line == b"{"):
                    raise EntryError(
                        Reason.BAD_MANIFEST, "not JSONL: it must hold one JSON object a line"
                    )
                first = False
                yield number, line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise EntryError(Reason.BAD_MANIFEST, f"the gzip file is damaged: {error}") from error
    except OSError as error:
        raise os_error(error) from error


def parse_object(line: bytes) -> dict[str, Any]:
    """Return the JSON object of one line. Raises EntryError (`bad_manifest_line`)."""
    try:
        text = line.decode()
        value = json.loads(text, parse_constant=_no_constant)
        if "\\ud" in text.lower():  # escapes can spell half a character, which no table can hold
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise EntryError(Reason.BAD_MANIFEST_LINE, f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise EntryError(Reason.BAD_MANIFEST_LINE, "not a JSON object")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _unzipped(path: str, file: IO[bytes]) -> IO[bytes]:
    if split_options(path)[0].lower().endswith(".gz"):
        return cast(IO[bytes], gzip.open(file))
    return file
