"""Finding audio files in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from wavemill.manifests.collected import Collected, Found
from wavemill.manifests.config import ScanConfig
from wavemill.manifests.file_names import is_utf8
from wavemill.manifests.filesystems import RemoteFile, is_url, parent, walk
from wavemill.manifests.kinds import FileKind, kind_by_name
from wavemill.manifests.reasons import EntryError, Reason, os_error
from wavemill.manifests.sniff import kind_of_file, kinds_of
from wavemill.manifests.unread import Unread
from wavemill.manifests.webdataset import read_tar_file

_REPORT_EVERY = 1000  # files between two calls of the progress callback
Entry = os.DirEntry[str] | RemoteFile


def scan_folder(
    folder: str, named: frozenset[str], into: Collected, found: Found, config: ScanConfig
) -> None:
    """Add all audio files below `folder`, and the members of its tar files, to `into`.

    If the ending of a name does not show what a file is, its first bytes do. Hidden files and
    folders are skipped (the `._` files of macOS are hidden). Links are followed, and each folder
    is entered once. Manifests are not read, since the recordings beside them may be meant to be
    transcribed; only a manifest that is a source itself (one of `named`) is read. All files that
    are not read are counted in `into.unread`.
    """
    search = _Search(named, into, found, config)
    errors_before = len(into.errors)
    for entries, again in _walk_remote(folder, into) if is_url(folder) else _walk(folder, into):
        search.sort(entries, counts=not again)
    search.look_into_unknown()
    any_audio = search.any_audio
    for path in sorted(search.tar_files):
        any_audio |= read_tar_file(path, into, config, named=path in named)
        found(len(into.files))
    if not any_audio and len(into.errors) == errors_before:
        message = "; ".join(["no audio files in this folder", *search.unread.notes()])
        into.error(folder, EntryError(Reason.NO_AUDIO_FOUND, message))
    into.unread.add_all(search.unread)


class _Search:
    """The files found below one folder so far."""

    def __init__(
        self, named: frozenset[str], into: Collected, found: Found, config: ScanConfig
    ) -> None:
        self._named = named
        self._into = into
        self._found = found
        self._config = config
        # By path, files whose names do not show what they are, and whether they are counted.
        self._unknown: dict[str, tuple[Entry, bool]] = {}
        self.any_audio = False
        self.tar_files: list[str] = []
        self.unread = Unread()

    def sort(self, entries: Sequence[Entry], counts: bool) -> None:
        """Sort the entries of one folder; with `counts`, those that are not read are counted."""
        others: list[tuple[Entry, FileKind | None]] = []
        recordings = set()  # their names, and these without endings
        for entry in entries:
            kind = kind_by_name(entry.name)
            if entry.name.startswith("."):
                others.append((entry, FileKind.CLUTTER))
            elif kind is FileKind.AUDIO:
                recordings |= {entry.name, _stem(entry.name)}
                self._add(entry)
            elif kind is FileKind.TAR:
                self.tar_files.append(entry.path)
            elif entry.path not in self._named:
                others.append((entry, kind))
        for entry, kind in others:
            if kind is FileKind.MANIFEST and _stem(entry.name) in recordings:
                kind = FileKind.TEXT  # its transcript: it is not opened
            if not _is_regular(entry):
                self._leave(entry, FileKind.SPECIAL, counts)
            elif kind in (None, FileKind.MANIFEST):
                self._unknown[entry.path] = (entry, counts)
            else:
                self._leave(entry, kind, counts)

    def look_into_unknown(self) -> None:
        """Sort the files whose names do not show what they are, by their content."""
        for path, kind in kinds_of(list(self._unknown), kind_of_file, self._config):
            entry, counts = self._unknown[path]
            if isinstance(kind, EntryError):
                self._into.error(path, kind)
            elif kind is FileKind.AUDIO:
                self._add(entry)
            else:
                self._leave(entry, kind, counts)

    def _add(self, entry: Entry) -> None:
        self.any_audio = True
        _add_file(entry, self._into)
        if len(self._into.files) % _REPORT_EVERY == 0:
            self._found(len(self._into.files))

    def _leave(self, entry: Entry, kind: FileKind, counts: bool) -> None:
        if counts:
            self.unread.add(kind, entry.path, entry.name)


def _stem(name: str) -> str:
    return name.removesuffix(".gz").rpartition(".")[0]


def _is_regular(entry: Entry) -> bool:
    try:
        return isinstance(entry, RemoteFile) or entry.is_file()
    except OSError:  # a link to itself
        return False


def _walk_remote(folder: str, into: Collected) -> Iterator[tuple[list[RemoteFile], bool]]:
    """Yield the files of each folder, and whether the folder was searched before."""
    folders: dict[str, list[RemoteFile]] = {}
    try:
        for file in walk(folder):
            folders.setdefault(parent(file.path), []).append(file)
    except OSError as error:
        into.error(folder, os_error(error, "list"))
    for name, files in folders.items():
        yield files, name in into.folders
        into.folders.add(name)


def _walk(folder: str, into: Collected) -> Iterator[tuple[list[os.DirEntry[str]], bool]]:
    """Yield the files of each folder, in sorted order, and whether it was searched before.

    Hidden folders count as files; they are not entered.
    """
    # Linked folders come last, so that the uri of a file contains a link only if it must.
    pending, linked = [folder], list[str]()
    seen: set[tuple[int, int]] = set()
    while pending or linked:
        path = pending.pop() if pending else linked.pop(0)
        try:
            state = Path(path).stat()
            place = (state.st_dev, state.st_ino)
            if place in seen:
                continue
            seen.add(place)
            if not is_utf8(path):
                raise EntryError(Reason.NAME_NOT_UTF8, "the name of this folder is not UTF-8")
            with os.scandir(path) as listing:
                entries = list(listing)
        except OSError as error:
            into.error(path, os_error(error, "list"))
            continue
        except EntryError as error:
            into.error(path, error)
            continue
        files: list[os.DirEntry[str]] = []
        folders: list[str] = []
        for entry in entries:
            if entry.name.startswith(".") or not _is_folder(entry):
                files.append(entry)
            elif entry.is_symlink():
                linked.append(entry.path)
            else:
                folders.append(entry.path)
        yield files, place in into.folders
        into.folders.add(place)
        pending += sorted(folders, reverse=True)
        linked.sort()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _add_file(entry: Entry, into: Collected) -> None:
    if isinstance(entry, RemoteFile):
        into.files[entry.path] = entry.stamp
        return
    try:
        if not entry.is_file():
            missing = entry.is_symlink() and not Path(entry.path).exists()
            if missing:
                raise EntryError(Reason.FILE_MISSING, "it is a link to what does not exist")
            raise EntryError(Reason.NOT_A_FILE, "it is not a regular file")
        if not is_utf8(entry.name):
            raise EntryError(Reason.NAME_NOT_UTF8, "its name is not UTF-8; remedy: rename it")
        state = entry.stat()
    except OSError as error:
        into.error(entry.path, os_error(error))
    except EntryError as error:
        into.error(entry.path, error)
    else:
        into.files[entry.path] = (state.st_size, state.st_mtime_ns)
