"""Damaged files of a WORKDIR: finding them, and the exception that names them in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

if TYPE_CHECKING:
    from wavemill.pipeline.store import Store


class Recorded(NamedTuple):
    """What the ledger has recorded about a file."""

    sha256: str
    bytes: int | None = None


class WorkdirDamaged(pa.ArrowInvalid):
    """A file of the WORKDIR is damaged or missing; the message is one line with the remedy.

    It is an ArrowInvalid, hence a ValueError, like the error of any unreadable table.
    """

    def __init__(self, store_root: str, key: str, problem: str) -> None:
        super().__init__(store_root, key, problem)
        self.root, self.key, self.problem = store_root, key, problem

    def __str__(self) -> str:
        return (
            f"{self.root}/{self.key}: {self.problem}; mend it with: "
            f"wavemill verify {self.root} --repair, then run the same command again"
        )


def difference(store: Store, key: str, recorded: Recorded) -> str:
    """Return how a file differs from what was recorded; "" if it does not."""
    try:
        size = recorded.bytes
        if size is not None and (now := store.size(key)) != size:
            return f"has {now:,} bytes, not {size:,}"
        same = store.sha256(key) == recorded.sha256
        return "" if same else "other content: the SHA-256 differs"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {short(error)}"


@contextmanager
def parsing(root: str, key: str) -> Iterator[None]:
    """Turn the errors of pyarrow for a damaged Parquet file into WorkdirDamaged."""
    try:
        yield
    except (WorkdirDamaged, MemoryError):
        raise
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise WorkdirDamaged(root, key, f"cannot be read: {short(error)}") from error
    except OSError as error:
        if error.errno is not None:  # of the operating system: no such file, no permission, ...
            raise
        raise WorkdirDamaged(root, key, f"cannot be read: {short(error)}") from error


def short(error: Exception) -> str:
    """Return the first line of an error."""
    if isinstance(error, WorkdirDamaged):
        return error.problem.removeprefix("cannot be read: ")
    return str(error).splitlines()[0] if str(error) else type(error).__name__
