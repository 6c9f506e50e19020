"""What the readers share: finding files, and clear errors for what is missing."""

from __future__ import annotations

import csv
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem


class SourceError(ValueError):
    """A download does not have the data set's layout; names what is missing and where."""


# Errors of files that are damaged or not in the format that their name says.
DAMAGED = (OSError, EOFError, UnicodeDecodeError, csv.Error, tarfile.TarError, zlib.error)

# Cuts a span (start, end in seconds; None: the end of the file) out of any audio or video file and
# returns the content of a FLAC file, mono, 16 kHz. The caller passes a decoder of all formats.
Cut = Callable[[Path, float, float | None], bytes]
# Reads the items of a data set, from its folder and the name of a part of it.
Reader = Callable[[Path, str, Cut], Iterator[BenchmarkItem]]


def found(source: Path, names: Sequence[str], what: str) -> Path:
    """Return the first of several relative paths that exists; raises SourceError."""
    for name in names:
        if (source / name).exists():
            return source / name
    wanted = " or ".join(dict.fromkeys(names))
    raise SourceError(f"{source}: there is no {wanted} ({what})")


def content(path: Path, what: str) -> bytes:
    """Return a file's bytes; raises SourceError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error} ({what})") from None


def rows_of_csv(path: Path, columns: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file with a header; raises SourceError for a missing column."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        there = list(reader.fieldnames or ())
        for name in columns:
            if name not in there:
                raise SourceError(f"{path}: there is no column {name!r}; it has {', '.join(there)}")
        yield from reader


def nonempty(items: Iterator[BenchmarkItem], where: str) -> Iterator[BenchmarkItem]:
    """Yield the items; raises SourceError if there are none, and for damaged files."""
    count = 0
    try:
        for item in items:
            count += 1
            yield item
    except DAMAGED as error:
        raise SourceError(f"{where}: {type(error).__name__}: {error}") from None
    if not count:
        raise SourceError(f"{where}: no items were found")
