"""What the readers of the source formats find, before any audio is opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from manifests.filesystems import (
    LocationError,
    Stamp,
    is_url,
    join_url,
    split_options,
    stamp_of_url,
    without_file_scheme,
)
from manifests.labels import Label, Origin
from manifests.reasons import EntryError, Reason, os_error
from manifests.recording import SourceError

REMOTE_THREADS = 32  # requests that are under way at once
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
    remote: dict[str, list[Label]] = field(default_factory=dict)  # not looked up yet

    def error(self, uri: str, error: EntryError) -> None:
        self.errors.append(SourceError(printable(uri), error.reason, error.message))

    def add(self, other: Collected) -> None:
        """Add the files, labels and errors of one source."""
        self.files |= other.files
        self.errors += other.errors
        for uri, labels in other.labels.items():
            self.labels.setdefault(uri, []).extend(labels)

    def label(self, uri: str, label: Label) -> None:
        """Record what a manifest line says about the file `uri`, which need not exist.

        Raises EntryError where the name itself is unusable.
        """
        if not is_utf8(uri):
            raise EntryError(Reason.NAME_NOT_UTF8, "the manifest's folder has a name not in UTF-8")
        if is_url(uri):
            self.remote.setdefault(uri, []).append(label)
            return
        if uri not in self.named:
            found = _stamp_or_error(uri)
            if isinstance(found, EntryError):
                self._not_there(uri, found, label)
                return
            self.named[uri] = found
        self.labels.setdefault(uri, []).append(label)

    def look_up_remote(self) -> None:
        """Look for the remote files that manifests name, many at a time, and label them."""
        with ThreadPoolExecutor(REMOTE_THREADS) as pool:
            stamps = pool.map(_stamp_or_error, self.remote)
            for (uri, labels), found in zip(self.remote.items(), stamps, strict=True):
                if isinstance(found, EntryError):
                    for label in labels:
                        self._not_there(uri, found, label)
                else:
                    self.named[uri] = found
                    self.labels.setdefault(uri, []).extend(labels)
        self.remote = {}

    def _not_there(self, uri: str, error: EntryError, label: Label) -> None:
        self.missing.setdefault((uri, error.reason, error.message), []).append(label.origin)

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
    """Return size and mtime of a regular file, or of an object. Raises EntryError."""
    if is_url(path):
        return _stamp_of_object(path)
    try:
        state = os.stat(path)  # noqa: PTH116 (a million calls: no Path objects)
    except OSError as error:
        raise os_error(error) from error
    except ValueError as error:  # a NUL character in the name
        raise EntryError(Reason.FILE_MISSING, "no file can have this name") from error
    if not stat.S_ISREG(state.st_mode):
        raise EntryError(Reason.NOT_A_FILE, "it is no regular file")
    return state.st_size, state.st_mtime_ns


def _stamp_of_object(url: str) -> Stamp:
    try:
        stamp = stamp_of_url(url)
    except LocationError as error:
        raise EntryError(Reason.UNSUPPORTED_SOURCE, str(error)) from error
    except OSError as error:
        raise os_error(error) from error
    if stamp is None:
        raise EntryError(Reason.NOT_A_FILE, "it is no regular file")
    return stamp


def _stamp_or_error(path: str) -> Stamp | EntryError:
    try:
        return stamp_of(path)
    except EntryError as error:
        return error


def resolve(path: object, folder: str, field_name: str) -> str:
    """Return the absolute name of a file that a manifest in `folder` names.

    A URL of the same scheme as the folder's, with no options of its own, gets the folder's.
    Raises EntryError.
    """
    if not isinstance(path, str) or not path:
        raise EntryError(Reason.BAD_FIELD, f"{field_name} must be a path, not {path!r:.80}")
    path = without_file_scheme(path)
    if is_url(path):
        same = path.partition("://")[0] == folder.partition("://")[0]
        return path + split_options(folder)[1] if same and not split_options(path)[1] else path
    if is_url(folder) and not os.path.isabs(path):  # noqa: PTH117
        return join_url(folder, path)
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
