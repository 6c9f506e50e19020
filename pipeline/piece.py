"""Pieces: what is made of a part of a long recording, until its stage's table is whole.

The rows of a piece stand in a file beside the table, with a temporary name, since nothing but the
table counts: `verify` and snapshots do not see it, and `gc` and `purge` remove what is left over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass

import pyarrow as pa

from wavemill.pipeline.digest import digest_of_lines
from wavemill.pipeline.output_key import OutputKey
from wavemill.pipeline.store import Store

OUTCOME = "wavemill.piece"  # key of the PieceOutcome, as JSON, in a piece's metadata
ErrorRow = dict[str, str | int | None]  # of ERRORS_SCHEMA


@dataclass(frozen=True)
class Piece:
    """Consecutive rows of a recording in the table by which a stage is divided."""

    recording_id: str
    stage: str  # whose table is meant
    first: int  # row, among those of the recording
    end: int  # the row after the last
    audio_ms: int  # its share of the recording
    key: str  # of its file


@dataclass(frozen=True)
class PieceOutcome:
    """What came of a piece, but its rows."""

    errors: list[ErrorRow]
    rows: int = 0
    fault: str | None = None  # of the program, that it failed by
    lost: bool = False  # its recording is excluded, since it kills workers: no row of it may stay
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def failure(self) -> ErrorRow | None:
        """The error of the recording (not of a span of it), with which the piece has ended."""
        return next((row for row in self.errors if row["start_ms"] is None), None)


def piece_key(output: str, written: tuple[str, ...], recording_id: str, rows: range) -> str:
    """Return the key of the file of a piece of `output`.

    `written` are the outputs whose rows are not made again.
    """
    key = OutputKey.parse(output)
    what = [output, *written, recording_id, str(rows.start), str(rows.stop)]
    folder = output.rpartition("/")[0]
    return f"{folder}/.{key.shard_id}.{digest_of_lines(what)}.tmp"


def outcome_metadata(outcome: PieceOutcome) -> dict[str, str]:
    """Return the key-value metadata of the file of a piece."""
    return {OUTCOME: json.dumps(asdict(outcome))}


def read_outcome(store: Store, key: str) -> PieceOutcome | None:
    """Return what came of a piece; None where its file is missing or damaged."""
    text = (store.facts(key) or {}).get(OUTCOME)
    return None if text is None else PieceOutcome(**json.loads(text))


def read_piece(store: Store, piece: Piece) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a piece in the batches in which they were made. Raises WorkdirDamaged."""
    with closing(store.open_table(piece.key)) as file:
        yield from file.rows(piece.recording_id, None)
