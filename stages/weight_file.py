"""One file of weights as it should be, and what is found in its place."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wavemill.stages.weights import sha256_of_file

State = Literal["present", "missing", "changed"]
_SHA1_DIGITS, _SHA256_DIGITS = 40, 64


@dataclass(frozen=True)
class WeightFile:
    """A file, where it comes from, and the content that it must have, as far as that is known."""

    name: str
    origin: str  # wheel and version, hub repository and revision, address, or folder
    licence: str
    remedy: str
    path: Path | None  # None: it is not on this machine
    sha256: str = ""  # or its first digits; "": not known
    git_blob: str = ""  # the name that git, and so the hub, gives to a small file's content
    size: int | None = None  # bytes

    def state(self, *, hashed: bool) -> State:
        """Return what is there; a changed file of the same size is found if it is `hashed`.

        Raises OSError.
        """
        if self.path is None or not self.path.is_file():
            return "missing"
        if self.size is not None and self.path.stat().st_size != self.size:
            return "changed"
        return "changed" if hashed and self._differs(self.path) else "present"

    def bytes_there(self) -> int | None:
        """Return the size of what is there, else the size that it must have."""
        there = self.path is not None and self.path.is_file()
        return self.path.stat().st_size if there and self.path else self.size

    def _differs(self, path: Path) -> bool:
        if self.sha256:
            return not sha256_of_file(path).startswith(self.sha256)
        return bool(self.git_blob) and _git_blob(path) != self.git_blob


def expected_of_etag(etag: str) -> tuple[str, str]:
    """Return `sha256` and `git_blob` of a WeightFile from what the hub calls a file's content.

    One of them is "", or both.
    """
    if all(digit in "0123456789abcdef" for digit in etag):
        if len(etag) == _SHA256_DIGITS:
            return etag, ""
        if len(etag) == _SHA1_DIGITS:
            return "", etag
    return "", ""


def _git_blob(path: Path) -> str:
    content = path.read_bytes()  # small: large files have a sha256
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
