"""The Parquet files of a corpus, local or in an object store: their rows and their audio."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wavemill.manifests.filesystems import exists, is_url, join_url, locate, open_file, walk
from wavemill.model.data.source import DataError, Problems

OPENED_AT_ONCE = 16
LATEST = "snapshots/LATEST"  # names the newest snapshot where there are no links


@dataclass(frozen=True)
class DataFile:
    """One file, by path or URL."""

    name: str
    size: int

    def rows(
        self,
        columns: list[str],
        problems: Problems,
        start: int = 0,
        splits: frozenset[str | None] | None = None,
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (number of the row, row) from row `start` on, a row group at a time.

        With `splits`, row groups without a row of these splits are passed over, audio and all.

        A Parquet file or row group that cannot be read is skipped and counted as a problem
        (`corrupted_file`, `corrupted_row_group`); missing columns are None.
        """
        try:
            with open_file(self.name) as opened, pq.ParquetFile(opened) as file:
                top = set(file.schema_arrow.names)
                there = [c for c in columns if c.partition(".")[0] in top]
                missing = dict.fromkeys(c for c in columns if c not in there)
                first = 0
                for group in range(file.num_row_groups):
                    count = file.metadata.row_group(group).num_rows
                    if first + count > start and self._has(file, group, splits):
                        rows = self._group(file, group, there, problems)
                        for offset in range(max(0, start - first), len(rows)):
                            yield first + offset, missing | rows[offset]
                    first += count
        except (OSError, pa.ArrowException) as error:
            problems.add("corrupted_file", self.name, line_of(error))

    def sizes(self) -> list[int]:
        """Return the rows of each row group; none if the file cannot be read."""
        try:
            with open_file(self.name) as opened, pq.ParquetFile(opened) as file:
                return [
                    file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)
                ]
        except (OSError, pa.ArrowException):
            return []  # `rows` reports it as a problem

    def _has(self, file: pq.ParquetFile, group: int, splits: frozenset[str | None] | None) -> bool:
        if splits is None or "split" not in file.schema_arrow.names:
            return True
        try:
            found = file.read_row_group(group, columns=["split"])["split"].unique().to_pylist()
        except (OSError, pa.ArrowException, UnicodeDecodeError):
            return True  # reading the rest of it reports the problem
        return not splits.isdisjoint(found)

    def values(self, column: str) -> set[Any]:
        """Return the values of a column as far as it can be read; {None} if it is missing."""
        found: set[Any] = set()
        try:
            with open_file(self.name) as opened, pq.ParquetFile(opened) as file:
                if column not in file.schema_arrow.names:
                    return {None}
                for group in range(file.num_row_groups):
                    with suppress(OSError, pa.ArrowException):
                        table = file.read_row_group(group, columns=[column])
                        found |= set(table[column].unique().to_pylist())
        except (OSError, pa.ArrowException):
            pass  # `rows` reports it as a problem
        return found

    def metadata(self) -> dict[str, str]:
        """Return the key-value metadata; raises OSError or pyarrow.ArrowException."""
        with open_file(self.name) as opened, pq.ParquetFile(opened) as file:
            found = file.metadata.metadata or {}
            return {k.decode(): v.decode(errors="replace") for k, v in found.items()}

    def _group(
        self, file: pq.ParquetFile, group: int, columns: list[str], problems: Problems
    ) -> list[dict[str, Any]]:
        try:
            return file.read_row_group(group, columns=columns).to_pylist()
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            problems.add("corrupted_row_group", f"{self.name} row group {group}", line_of(error))
            return []


@dataclass(frozen=True)
class Files:
    """The files of one corpus, in the order of their names."""

    place: str  # for messages
    files: tuple[DataFile, ...]

    @cached_property
    def digest(self) -> str:
        """Return a hash of the files' names and sizes: 16 hex digits."""
        names = [(f.name.rstrip("/").rsplit("/", 1)[-1], f.size) for f in self.files]
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]

    @cached_property
    def sizes(self) -> list[list[int]]:
        """Return the rows of each row group of each file; many files are opened at a time."""
        with ThreadPoolExecutor(OPENED_AT_ONCE) as pool:
            return list(pool.map(DataFile.sizes, self.files))


def corpus_files(place: str, corpus: str) -> Files:
    """Return the Parquet files of a corpus ("pretrain", "sft") of a WORKDIR.

    `place` may also be a snapshot, or a folder of such files itself. The link to the newest
    snapshot is followed once, here: a refresh during the training does not change the files.
    Raises DataError when there are none.
    """
    for folder in _folders(place.rstrip("/"), corpus):
        spoken = _spoken_beside(folder) if corpus == "sft" else []
        files = [*_parquet_in(folder), *spoken]
        if spoken:  # one of the two may be an empty file, whose metadata say less
            files = [file for file in files if not file.name.endswith("/empty.parquet")]
        if files:
            return Files(folder, tuple(files))
    raise DataError(
        f"{place} has no corpus {corpus!r}; remedy: name a WORKDIR that `wavemill curate` "
        f"has built with one, or a folder of its Parquet files"
    )


def _spoken_beside(folder: str) -> list[DataFile]:
    """Return the parts of `sft_spoken` with rows beside a folder `sft`: the same kind of rows."""
    stem, _, options = folder.partition("?")
    if stem.rstrip("/").rpartition("/")[2] != "sft":
        return []
    beside = stem.rstrip("/") + "_spoken" + (f"?{options}" if options else "")
    if not is_url(beside) and not Path(beside).is_dir():
        return []
    return [f for f in _parquet_in(beside) if not f.name.endswith("/empty.parquet")]


def _folders(place: str, corpus: str) -> Iterator[str]:
    if is_url(place):
        latest = join_url(place, LATEST)
        if exists(latest):
            with open_file(latest) as file:
                yield join_url(place, f"snapshots/{file.read().decode().strip()}/{corpus}")
        yield from (join_url(place, f"corpus/{corpus}"), join_url(place, corpus), place)
        return
    for folder in (Path(place) / "corpus" / corpus, Path(place) / corpus, Path(place)):
        if folder.is_dir():
            yield str(folder.resolve())


def _parquet_in(folder: str) -> list[DataFile]:
    if is_url(folder):
        if not exists(folder):
            return []
        locate(folder)
        found = [DataFile(f.path, f.stamp[0]) for f in walk(folder) if f.name.endswith(".parquet")]
        depth = folder.partition("?")[0].rstrip("/").count("/") + 1
        return [f for f in found if f.name.partition("?")[0].count("/") == depth]
    paths = sorted(Path(folder).glob("*.parquet"))
    return [DataFile(str(path), path.stat().st_size) for path in paths]


def line_of(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@dataclass(frozen=True, order=True)
class Stored:
    """Where the audio of a clip is."""

    file: int
    row: int
    message: int = 0  # of a conversation


def stored_audio(
    files: Files, kind: str, places: Sequence[Stored], problems: Problems
) -> dict[Stored, bytes]:
    """Return the audio at some places, reading only the row groups that hold it.

    The audio of a row without any is b"". A file or row group that cannot be read is a problem,
    and its places are missing in the result.
    """
    found: dict[Stored, bytes] = {}
    for number, wanted in groupby(sorted(places), lambda place: place.file):
        name = files.files[number].name
        try:
            with open_file(name) as opened, pq.ParquetFile(opened) as file:
                found |= _audio_in(file, name, kind, list(wanted), problems)
        except (OSError, pa.ArrowException) as error:
            problems.add("corrupted_file", name, line_of(error))
    return found


def _audio_in(
    file: pq.ParquetFile, name: str, kind: str, places: Sequence[Stored], problems: Problems
) -> dict[Stored, bytes]:
    # The id is always there; a table without any column would have no rows.
    columns = ["segment_id", "audio.bytes"]
    if kind == "sft":
        columns = ["sample_id", "messages.list.element.audio.bytes"]
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    ends = np.cumsum(sizes)
    found: dict[Stored, bytes] = {}
    for group, some in groupby(places, lambda p: int(np.searchsorted(ends, p.row, side="right"))):
        wanted, first = list(some), int(ends[group]) - sizes[group]
        try:
            table = file.read_row_group(group, columns=columns)
            rows = table.take([place.row - first for place in wanted]).to_pylist()
        except (OSError, pa.ArrowException) as error:
            problems.add("corrupted_row_group", f"{name} row group {group}", line_of(error))
            continue
        for place, row in zip(wanted, rows, strict=True):
            if kind == "sft":
                row = row["messages"][place.message] if "messages" in row else {}
            found[place] = (row.get("audio") or {}).get("bytes") or b""
    return found
