"""The answers of a run: Parquet files that are only added, each atomically."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

PARTS = "answers"
SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.string(), False),
        pa.field("prompt", pa.string()),  # what the model was given
        pa.field("answer", pa.string()),  # null: see error
        pa.field("error", pa.string()),  # why there is no answer; null if there is one
        pa.field("complete", pa.bool_()),  # it ended by itself, not at a limit
        pa.field("audio_s", pa.float64()),  # length of the recording
        pa.field("seconds", pa.float64()),  # taken to answer; for a batch, divided by its size
        pa.field("speech", pa.binary()),  # the spoken answer, FLAC; null if there is none
        pa.field("speech_s", pa.float64()),
        pa.field("first_chunk_s", pa.float64()),  # until its first audio
    ]
)


@dataclass(frozen=True)
class Row:
    """The answer or the error of one item; columns of SCHEMA."""

    item_id: str
    prompt: str | None = None
    answer: str | None = None
    error: str | None = None
    complete: bool | None = None
    audio_s: float | None = None
    seconds: float | None = None
    speech: bytes | None = None
    speech_s: float | None = None
    first_chunk_s: float | None = None


class Answers:
    """The Parquet files of a run. One writer at a time; a killed one leaves only whole files."""

    def __init__(self, run: Path) -> None:
        self._folder = run / PARTS

    def append(self, rows: Sequence[Row]) -> None:
        """Write a file; its rows replace earlier rows of the same items."""
        if not rows:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        number = 1 + max((int(path.stem.partition("-")[0]) for path in self._parts()), default=0)
        name = f"{number:06d}-{uuid.uuid4().hex[:8]}.parquet"
        temporary = self._folder / f".{name}.tmp"
        table = pa.Table.from_pylist([vars(row) for row in rows], SCHEMA)
        pq.write_table(table, temporary, compression="zstd")
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(self._folder / name)

    def states(self) -> dict[str, bool]:
        """Return for each item_id whether it has an answer (and no error)."""
        found: dict[str, bool] = {}
        for path in self._parts():
            table = pq.read_table(path, columns=["item_id", "error"])
            errors = table["error"].is_null().to_pylist()
            found.update(zip(table["item_id"].to_pylist(), errors, strict=True))
        return found

    def rows(self, speech: bool = False) -> Iterator[Row]:
        """Yield the newest row of every item, in the order in which they were written."""
        places = {}
        for path in self._parts():
            for index, item_id in enumerate(pq.read_table(path, columns=["item_id"])["item_id"]):
                places[item_id.as_py()] = (path, index)
        columns = [name for name in SCHEMA.names if speech or name != "speech"]
        for path in self._parts():
            for index, values in enumerate(pq.read_table(path, columns=columns).to_pylist()):
                if places[values["item_id"]] == (path, index):
                    yield Row(**values)

    def _parts(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*.parquet"))
