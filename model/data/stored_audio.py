"""Audio of a corpus by its place in the files, without that of the rows between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wavemill.manifests.filesystems import open_file
from wavemill.model.data.files import Files, line_of
from wavemill.model.data.problems import Problems


@dataclass(frozen=True, order=True)
class Stored:
    """Where the audio of a clip is."""

    file: int
    row: int
    message: int = 0  # of a conversation


def stored_audio(
    files: Files, kind: str, places: Sequence[Stored], problems: Problems
) -> dict[Stored, bytes]:
    """Read stored audio, of the row groups that hold some of it; b"" where a row has none.

    A file or row group that cannot be read is a problem, and what was wanted of it is not there.
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
    # The id is always there; without any column, a table has no rows either.
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
