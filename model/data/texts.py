"""Documents of plain text, from JSONL or Parquet, for the text-only task."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wavemill.manifests.filesystems import is_url, open_file, stamp_of_url, walk
from wavemill.model.data.files import DataFile, Files
from wavemill.model.data.source import DataError, Problems

SUFFIXES = (".jsonl", ".parquet")
COLUMN = "text"


@dataclass(frozen=True)
class Text:
    """One document."""

    name: str  # file, and row (Parquet) or byte at which it begins (JSONL)
    text: str
    next_row: int  # row or byte behind it

    @property
    def nbytes(self) -> int:
        return len(self.text)


class Texts:
    """Files whose rows or lines have a `text`; others are counted as problems and skipped.

    A place in a file is a row of Parquet or a byte of JSONL, since the n-th line is only found
    through all lines before it.
    """

    def __init__(self, files: Files) -> None:
        self.files = files
        self.problems = Problems()

    @classmethod
    def open(cls, places: Sequence[str]) -> Texts:
        """Find files by path or URL, and all JSONL and Parquet files below folders.

        Raises DataError when a place does not exist or has no such file.
        """
        files: list[DataFile] = []
        for place in places:
            try:
                found = list(_below(place))
            except OSError as error:
                raise DataError(f"--text: {place}: {error}") from None
            if not found:
                raise DataError(f"--text: {place} has no {' or '.join(SUFFIXES)} file")
            files += found
        return cls(Files(", ".join(places), tuple(sorted(files, key=lambda f: f.name))))

    def documents(self, file: int, start: int = 0) -> Iterator[Text]:
        """Yield the texts of the `file`-th file, from row or byte `start` on."""
        source = self.files.files[file]
        rows = self._parquet if source.name.partition("?")[0].endswith(".parquet") else self._lines
        for name, text, behind in rows(source, start):
            if not isinstance(text, str) or not text:
                self.problems.add("no_text", name)
            elif not _is_unicode(text):
                self.problems.add("broken_text", name)
            else:
                yield Text(name, text, behind)

    def _parquet(self, source: DataFile, start: int) -> Iterator[tuple[str, object, int]]:
        for number, row in source.rows([COLUMN], self.problems, start):
            yield f"{source.name}:{number}", row[COLUMN], number + 1

    def _lines(self, source: DataFile, start: int) -> Iterator[tuple[str, object, int]]:
        try:
            with open_file(source.name) as lines:
                behind = lines.seek(start)
                for line in lines:
                    at, behind = behind, behind + len(line)
                    if line.strip():
                        yield f"{source.name}@{at}", _text_of(line), behind
        except OSError as error:
            self.problems.add("corrupted_file", source.name, str(error))


def _text_of(line: bytes) -> object:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):  # the second of brackets without end
        return None
    return row.get(COLUMN) if isinstance(row, dict) else None


def _is_unicode(text: str) -> bool:
    """Whether a text has no lone surrogate, which JSON allows."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _below(place: str) -> Iterator[DataFile]:
    if is_url(place):
        stamp = stamp_of_url(place)
        found = [] if stamp else walk(place)
        yield from (DataFile(f.path, f.stamp[0]) for f in found if f.name.endswith(SUFFIXES))
        if stamp:
            yield DataFile(place, stamp[0])
        return
    path = Path(place)
    if path.is_file():
        yield DataFile(str(path), path.stat().st_size)
    for file in sorted(path.rglob("*")) if path.is_dir() else []:
        if file.name.endswith(SUFFIXES):
            yield DataFile(str(file), file.stat().st_size)
