"""What the readers of downloads share: finding files, and saying clearly what is missing."""

from __future__ import annotations

import csv
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem


class SourceError(ValueError):
    """A download is not as the data set's layout has it: names what is missing and where."""


# What reading a file of another format than its name says may raise.
DAMAGED = (OSError, EOFError, UnicodeDecodeError, csv.Error, tarfile.TarError, zlib.error)

# Cuts a span (from, to; in seconds, None: the end) out of any audio or video file and returns it
# as the content of a FLAC file, mono, 16 kHz. Handed in by whoever can decode anything.
Cut = Callable[[Path, float, float | None], bytes]
# Reads a data set: its folder, and which part of it.
Reader = Callable[[Path, str, Cut], Iterator[BenchmarkItem]]


def found(source: Path, names: Sequence[str], what: str) -> Path:
    """Return the first of several relative paths that is there; raises SourceError."""
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
    """Pass items on; raises SourceError when there is none, and for files that are damaged."""
    count = 0
    try:
        for item in items:
            count += 1
            yield item
    except DAMAGED as error:
        raise SourceError(f"{where}: {type(error).__name__}: {error}") from None
    if not count:
        raise SourceError(f"{where}: no items were found")
