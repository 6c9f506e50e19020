"""What the readers of the source formats find, before any audio is opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field

from manifests.labels import Label, Origin
from manifests.reasons import EntryError, Reason, os_error
from manifests.recording import SourceError
from manifests.uri import is_url

Stamp = tuple[int, int]  # size in bytes and mtime in nanoseconds of the file (the shard's of a
# tar member): while they are the same, so is the content
Found = Callable[[int], None]  # told how many files there are so far


@dataclass(slots=True)
class Collected:
    """Candidates by uri, the labels on them, and the errors; readers add to it."""

    files: dict[str, Stamp] = field(default_factory=dict)  # found in folders, shards, or named
    named: dict[str, Stamp] = field(default_factory=dict)  # named by a manifest
    labels: dict[str, list[Label]] = field(default_factory=dict)
    missing: dict[tuple[str, Reason, str], list[Origin]] = field(default_factory=dict)
    errors: list[SourceError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def error(self, uri: str, error: EntryError) -> None:
        self.errors.append(SourceError(printable(uri), error.reason, error.message))

    def label(self, uri: str, label: Label) -> None:
        """Record what a manifest line says about the file `uri`, which need not exist.

        Raises EntryError where the name itself is unusable.
        """
        if not is_utf8(uri):
            raise EntryError(Reason.NAME_NOT_UTF8, "the manifest's folder has a name not in UTF-8")
        if uri not in self.named:
            try:
                self.named[uri] = stamp_of(uri)
            except EntryError as error:
                key = (uri, error.reason, error.message)
                self.missing.setdefault(key, []).append(label.origin)
                return
        self.labels.setdefault(uri, []).append(label)

    def missing_errors(self) -> list[SourceError]:
        """One error per file that manifests name and that is not there, at the first line."""
        rows = []
        for (uri, reason, message), origins in self.missing.items():
            more = f" (named by {len(origins)} lines)" if len(origins) > 1 else ""
            rows.append(
                SourceError(min(origins).uri, reason, f"{printable(uri)!r}: {message}{more}")
            )
        return rows


def stamp_of(path: str) -> Stamp:
    """Return size and mtime of a regular file. Raises EntryError."""
    try:
        state = os.stat(path)  # noqa: PTH116 (a million calls: no Path objects)
    except OSError as error:
        raise os_error(error) from error
    except ValueError as error:  # a NUL character in the name
        raise EntryError(Reason.FILE_MISSING, "no file can have this name") from error
    if not stat.S_ISREG(state.st_mode):
        raise EntryError(Reason.NOT_A_FILE, "it is no regular file")
    return state.st_size, state.st_mtime_ns


def resolve(path: object, folder: str, field_name: str) -> str:
    """Return the absolute path of a file that a manifest in `folder` names. Raises EntryError."""
    if not isinstance(path, str) or not path:
        raise EntryError(Reason.BAD_FIELD, f"{field_name} must be a path, not {path!r:.80}")
    if is_url(path):
        raise EntryError(Reason.UNSUPPORTED_SOURCE, f"not a local file: {path:.200}")
    return os.path.normpath(os.path.join(folder, path))  # noqa: PTH118


def printable(uri: str) -> str:
    """Return a name that any table can hold: bytes that are no UTF-8 become \\xNN."""
    return uri if uri.isascii() else os.fsencode(uri).decode("utf-8", "backslashreplace")


def is_utf8(name: str) -> bool:
    """Whether the file name was UTF-8 (Python holds other bytes as lone surrogates)."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
