"""The contract between a stage and the build: one recording in, rows out.

The build (package `pipeline`) calls a stage once per recording and does the rest: batching
into shards, errors, timing, storage. A stage never sees Ray, workers or paths of the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from wavemill.manifests.reasons import Reason
from wavemill.manifests.recording import Recording

# Of where a recording is, not of what it is: the next run tries it again by itself.
PASSING_REASONS = frozenset(
    {
        Reason.SOURCE_CHANGED,
        Reason.FILE_MISSING,
        Reason.PERMISSION_DENIED,
        Reason.UNREADABLE,
        Reason.SERVER_DOWN,
    }
)


class RecordingError(Exception):
    """This recording cannot be processed: becomes a row (stage, reason, message) of the errors.

    `reason` is a stable snake_case name, `message` one sentence for a person.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class SpanError:
    """A span of a recording cannot be used, the rest can: a row of the errors with its span."""

    reason: str
    message: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Division:
    """How a stage's work on one recording may be divided into pieces.

    The stage goes through the recording's rows of the table of `stage`, in order, `rows` at once:
    given consecutive rows alone, of which the first is a multiple of `rows`, it yields what it
    would yield for them among all rows.
    """

    stage: str  # an input, or what selects its rows
    rows: int = 1


class Upstream(Protocol):
    """The rows of one recording in the tables of the stages before."""

    @property
    def lineage_id(self) -> str:
        """Name of the table being written, for rows that must lead back to it."""
        ...

    def table(self, stage: str, columns: list[str] | None = None) -> pa.Table:
        """All rows of this recording in the table of `stage`, in the order they were written."""
        ...

    def batches(
        self, stage: str, columns: list[str] | None = None, between: tuple[int, int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The same, streamed; `between` (start_ms, end_ms) skips what cannot overlap it.

        Rows outside `between` may still come: it only spares reading.
        """
        ...


class RecordingStage(Protocol):
    """A stage that was built and whose engine is loaded."""

    def __call__(
        self, recording: Recording, upstream: Upstream
    ) -> Iterator[pa.RecordBatch | SpanError]:
        """Yield this recording's rows, in the stage's schema, in a deterministic order.

        A pure function of the recording, the upstream rows and the stage's parameters: nothing
        may be carried over from one recording to the next. Raises RecordingError; what concerns a
        span alone is a SpanError among the rows.
        """
        ...
