"""Conversations in a Parquet file: the shapes of `wavemill.manifests.conversations`, as columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wavemill.manifests.bad_lines import BadLines
from wavemill.manifests.collected import Collected
from wavemill.manifests.config import LineLimits
from wavemill.manifests.conversations import is_conversation, parse_conversation
from wavemill.manifests.filesystems import open_file
from wavemill.manifests.labels import Origin
from wavemill.manifests.reasons import EntryError, Reason, os_error, unexpected
from wavemill.manifests.uri import open_stable_copy

_ROWS_AT_ONCE = 1000
_MARK = b"PAR1"


def is_table_of_conversations(path: str) -> bool:
    """Whether a file is Parquet with the columns of conversations. Raises OSError."""
    with open_file(path, len(_MARK)) as file:
        if file.read(len(_MARK)) != _MARK:
            return False
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_file(path) as file:
            names = pq.read_schema(file).names
    except pa.ArrowException:
        return False
    return is_conversation(
        {name: [] if name.startswith(("messages", "conversation")) else "text" for name in names}
    )


def read_table_of_conversations(path: str, into: Collected, limits: LineLimits) -> None:
    """Add the conversations of a Parquet file; a row that cannot be used is an error `PATH:ROW`."""
    bad = BadLines(into, limits.max_bad_lines, "rows")
    try:
        for number, row in _rows(path):
            origin = Origin(path, number)
            try:
                if not is_conversation(row):
                    raise EntryError(Reason.BAD_CONVERSATION, "it has no messages")
                into.converse(parse_conversation(row, origin.uri))
            except Exception as error:  # an unknown error of one row must not affect the others
                bad.add(origin, error if isinstance(error, EntryError) else unexpected(error))
    except EntryError as error:
        into.error(path, error)
    bad.finish(path)


def _rows(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row from 1, its fields). Raises EntryError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with open_stable_copy(path) as copy, pq.ParquetFile(copy) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                for number, row in enumerate(batch.to_pylist(), start=number + 1):  # noqa: B020
                    yield number, row
    except pa.ArrowException as error:
        message = f"the Parquet file is damaged: {str(error).splitlines()[0]}"
        raise EntryError(Reason.BAD_MANIFEST, message) from error
    except OSError as error:
        raise os_error(error) from error
