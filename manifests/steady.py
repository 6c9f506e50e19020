"""Files as they are at one moment, however long it takes to make sense of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from wavemill.manifests.filesystems import open_file
from wavemill.manifests.reasons import EntryError, Reason
from wavemill.manifests.uri import state_of

HELD_BYTES = 16 << 20  # of a copy in memory; a longer one is a temporary file
CHANGED = "it changed while it was read, and may still be written; the next run reads it again"


@contextmanager
def open_steady(path: str) -> Iterator[BinaryIO]:
    """Give a copy of a file in which no line is half old and half new.

    Raises EntryError (`source_changed`) if the file changes while it is copied, and OSError.
    """
    before = state_of(path)
    with open_file(path) as file, tempfile.SpooledTemporaryFile(HELD_BYTES) as copy:
        shutil.copyfileobj(file, copy)
        if state_of(path) != before:
            raise EntryError(Reason.SOURCE_CHANGED, CHANGED)
        copy.seek(0)
        yield cast(BinaryIO, copy)
