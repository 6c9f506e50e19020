"""Temporary folders of a run."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wavemill.pipeline.config import ConfigError

# Ray adds 64 bytes for its sockets, whose names may have 107 (on a Mac 103).
LONGEST = 37  # bytes
_PREFIX = "wavemill-"  # tempfile adds eight characters
_PLAIN = re.compile(
    r"[\w./+-]+", re.ASCII
)  # Ray splits at spaces; ? and \ mean something to DuckDB


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty folder with a short plain name; it is removed after the block.

    It is in the folder for temporary files (TMPDIR), or in another one if that cannot be written
    to or has a long or unusual name. Raises ConfigError if no folder can be used.
    """
    with tempfile.TemporaryDirectory(
        dir=_place(),
        prefix=_PREFIX,
        ignore_cleanup_errors=True,  # processes that are ending may still write
    ) as folder:
        yield Path(folder)


def _place() -> str:
    wanted = [os.environ.get("RAY_TMPDIR", ""), _default(), "/tmp", "/var/tmp", "/dev/shm"]
    for folder in wanted:
        long = len(os.fsencode(folder)) + len(_PREFIX) + 9 > LONGEST
        if not long and _PLAIN.fullmatch(folder):
            with suppress(OSError), tempfile.TemporaryDirectory(dir=folder, prefix=_PREFIX):
                return folder
    raise ConfigError(
        "no folder for temporary files can be used; set TMPDIR to one that can be written to, "
        f"with a name of at most {LONGEST - len(_PREFIX) - 9} plain characters"
    )


def _default() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:  # none can be written to
        return ""
