"""Files of weights: what is in them, and whether they could be fetched."""

from __future__ import annotations

import hashlib
import urllib.request
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path

REACH_SECONDS = 10.0


def sha256_of_file(path: Path) -> str:
    """Return the hash of a file's content, read once per process while size and time stay.

    Raises OSError.
    """
    stat = path.stat()
    return _sha256(path.absolute(), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001 (part of the key)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_download(url: str) -> None:
    """Ask for a file as a download would, and read nothing of it. Raises OSError."""
    try:
        with urllib.request.urlopen(url, timeout=REACH_SECONDS):
            pass
    except HTTPException as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
