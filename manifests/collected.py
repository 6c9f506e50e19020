"""What the readers of all source formats find, before any audio is opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from wavemill.manifests.file_names import is_utf8, printable
from wavemill.manifests.filesystems import (
    LocationError,
    Stamp,
    is_url,
    stamp_of_url,
)
from wavemill.manifests.labels import Label, Origin
from wavemill.manifests.reasons import EntryError, Reason, os_error
from wavemill.manifests.recording import Recording, SourceError
from wavemill.manifests.tar_index import tar_index
from wavemill.manifests.tar_layouts import MemberNames, NemoTarFiles
from wavemill.manifests.unread import Unread
from wavemill.manifests.uri import member_uri, split_uri

REMOTE_THREADS = 32  # requests that are under way at once
Found = Callable[[int], None]  # is called with the number of files so far


@dataclass(slots=True)
class Collected:
    """Files by uri, their labels, and errors; the readers add to it."""

    files: dict[str, Stamp] = field(
        default_factory=dict
    )  # in folders and tar files, or sources themselves
    named: dict[str, Stamp] = field(default_factory=dict)  # named by a manifest
    labels: dict[str, list[Label]] = field(default_factory=dict)
    missing: dict[tuple[str, Reason, str], list[Origin]] = field(default_factory=dict)
    errors: list[SourceError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unread: Unread = field(default_factory=Unread)
    folders: set[object] = field(default_factory=set)  # that were searched, by inode or URL
    tar_files: dict[str, bool] = field(default_factory=dict)  # tar files, and whether with audio
    conversations: dict[str, Recording] = field(default_factory=dict)  # written ones, by id
    repeated: int = 0  # conversations that were there already
    # Not looked up yet: remote files, and members by their tar files.
    remote: dict[str, list[Label]] = field(default_factory=dict)
    nemo_tar_files: NemoTarFiles = field(default_factory=NemoTarFiles)
    members: dict[str, list[tuple[tuple[str, ...], Label]]] = field(default_factory=dict)

    def error(self, uri: str, error: EntryError) -> None:
        """Add an error at `uri`."""
        self.errors.append(SourceError(printable(uri), error.reason, error.message))

    def add(self, other: Collected) -> None:
        """Add the files, labels, errors and notes of one source."""
        self.files |= other.files
        self.errors += other.errors
        self.notes += other.notes
        self.unread.add_all(other.unread)
        for uri, labels in other.labels.items():
            self.labels.setdefault(uri, []).extend(labels)

    def converse(self, conversation: Recording) -> None:
        """Add a written conversation; of several with the same messages the first uri stays."""
        known = self.conversations.setdefault(conversation.recording_id, conversation)
        self.repeated += known is not conversation

    def label(self, uri: str, label: Label) -> None:
        """Add the label of a manifest line on the file `uri`, which need not exist.

        Raises EntryError if the name cannot be used.
        """
        if not is_utf8(uri):
            raise EntryError(Reason.NAME_NOT_UTF8, "the manifest's folder has a name not in UTF-8")
        path, member = split_uri(uri)
        if member is not None:
            self.label_member(path, (member,), label)
            return
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

    def label_member(self, tar_file: str, names: tuple[str, ...], label: Label) -> None:
        """Add the label of a manifest line on the first member of a tar file that is in `names`."""
        self.members.setdefault(tar_file, []).append((names, label))

    def nemo_tar_file(self, line: Mapping[str, Any], uri: str, folder: str) -> str | None:
        """Return the tar file that holds the audio of a manifest line, None if `uri` is a file.

        Raises EntryError (`ambiguous_label`).
        """
        if line.get("shard_id") is None or (not is_url(uri) and os.path.exists(uri)):  # noqa: PTH110
            return None
        return self.nemo_tar_files.find(line, folder, self.tar_files)

    def look_up_members(self) -> None:
        """Find the members of tar files that manifests name, and label them."""
        for tar_file, wanted in self.members.items():
            found = _members_or_error(tar_file)
            for names, label in wanted:
                try:
                    if isinstance(found, EntryError):
                        raise found
                    uri = member_uri(tar_file, found[1].find(names))
                except EntryError as error:
                    self._not_there(member_uri(tar_file, names[0]), error, label)
                else:
                    self.named[uri] = found[0]
                    self.labels.setdefault(uri, []).append(label)
        self.members = {}

    def look_up_remote(self) -> None:
        """Find the remote files that manifests name, many in parallel, and label them."""
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
        """Return one error per missing file that manifests name, at the first such line."""
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
        raise EntryError(Reason.NOT_A_FILE, "it is not a regular file")
    return state.st_size, state.st_mtime_ns


def _stamp_of_object(url: str) -> Stamp:
    try:
        stamp = stamp_of_url(url)
    except LocationError as error:
        raise EntryError(Reason.UNSUPPORTED_SOURCE, str(error)) from error
    except OSError as error:
        raise os_error(error) from error
    if stamp is None:
        raise EntryError(Reason.NOT_A_FILE, "it is not a regular file")
    return stamp


def _stamp_or_error(path: str) -> Stamp | EntryError:
    try:
        return stamp_of(path)
    except EntryError as error:
        return error
    except Exception as error:  # an unknown error of one URL must not affect the others
        return EntryError(Reason.UNSUPPORTED_SOURCE, f"{type(error).__name__}: {error}")


def _members_or_error(tar_file: str) -> tuple[Stamp, MemberNames] | EntryError:
    try:
        stamp = stamp_of(tar_file)
        return stamp, MemberNames(tar_index(tar_file, *stamp))
    except EntryError as error:
        return error
    except OSError as error:
        return os_error(error)
