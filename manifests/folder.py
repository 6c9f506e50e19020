"""Finding audio files in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from manifests.collected import Collected, Found, is_utf8
from manifests.filesystems import RemoteFile, is_url, walk
from manifests.lines import parse_object, read_lines
from manifests.manifest import looks_like_manifest
from manifests.reasons import EntryError, Reason, os_error
from manifests.shard import read_shard
from manifests.uri import TAR_ENDING, has_audio_ending

_REPORT_EVERY = 1000  # files between two calls of the progress callback


def scan_folder(folder: str, named: frozenset[str], into: Collected, found: Found) -> None:
    """Add all audio files below `folder`, and the members of the tar shards there, to `into`.

    Hidden files and folders are passed over (macOS' `._` files are hidden ones). Links are
    followed, each folder is entered once. Manifests are NOT read, for a folder of recordings
    beside their transcripts may be there to be transcribed: only a manifest named as a source
    is read, and a note tells of those (not in `named`) that were left.
    """
    errors_before = len(into.errors)
    any_audio = False
    shards: list[str] = []
    manifests: list[str] = []
    for entry in _walk_remote(folder, into) if is_url(folder) else _walk(folder, into):
        name = entry.name
        if has_audio_ending(name):
            any_audio = True
            _add_file(entry, into)
            if len(into.files) % _REPORT_EVERY == 0:
                found(len(into.files))
        elif name.endswith(TAR_ENDING):
            shards.append(entry.path)
        elif name.endswith((".jsonl", ".jsonl.gz")) and entry.path not in named:
            manifests.append(entry.path)
    for shard in sorted(shards):
        any_audio |= read_shard(shard, into, named=False)
        found(len(into.files))
    manifests = sorted(path for path in manifests if _is_manifest(path))
    if manifests:
        into.notes.append(_unread(manifests))
    if not any_audio and len(into.errors) == errors_before:
        hint = f"; {_unread(manifests)}" if manifests else ""
        message = f"no audio files in this folder{hint}"
        into.error(folder, EntryError(Reason.NO_AUDIO_FOUND, message))


def _walk_remote(folder: str, into: Collected) -> Iterator[RemoteFile]:
    try:
        yield from walk(folder)
    except OSError as error:
        into.error(folder, os_error(error, "list"))


def _walk(folder: str, into: Collected) -> Iterator[os.DirEntry[str]]:
    """Yield the entries that are not hidden and no folders, folder by folder in sorted order."""
    # Linked folders come last, so that a file's uri is the one without a link wherever it can be.
    pending, linked = [folder], list[str]()
    seen: set[tuple[int, int]] = set()
    while pending or linked:
        path = pending.pop() if pending else linked.pop(0)
        try:
            state = Path(path).stat()
            if (state.st_dev, state.st_ino) in seen:
                continue
            seen.add((state.st_dev, state.st_ino))
            if not is_utf8(path):
                raise EntryError(Reason.NAME_NOT_UTF8, "the name of this folder is not UTF-8")
            with os.scandir(path) as listing:
                entries = [entry for entry in listing if not entry.name.startswith(".")]
        except OSError as error:
            into.error(path, os_error(error, "list"))
            continue
        except EntryError as error:
            into.error(path, error)
            continue
        folders: list[str] = []
        for entry in entries:
            if not _is_folder(entry):
                yield entry
            elif entry.is_symlink():
                linked.append(entry.path)
            else:
                folders.append(entry.path)
        pending += sorted(folders, reverse=True)
        linked.sort()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _add_file(entry: os.DirEntry[str] | RemoteFile, into: Collected) -> None:
    if isinstance(entry, RemoteFile):
        into.files[entry.path] = entry.stamp
        return
    try:
        if not entry.is_file():
            missing = entry.is_symlink() and not Path(entry.path).exists()
            if missing:
                raise EntryError(Reason.FILE_MISSING, "it is a link to what does not exist")
            raise EntryError(Reason.NOT_A_FILE, "it is no regular file")
        if not is_utf8(entry.name):
            raise EntryError(Reason.NAME_NOT_UTF8, "its name is not UTF-8; remedy: rename it")
        state = entry.stat()
    except OSError as error:
        into.error(entry.path, os_error(error))
    except EntryError as error:
        into.error(entry.path, error)
    else:
        into.files[entry.path] = (state.st_size, state.st_mtime_ns)


def _is_manifest(path: str) -> bool:
    try:
        _, line = next(read_lines(path))
        return looks_like_manifest(parse_object(line))
    except (EntryError, StopIteration):
        return False


def _unread(manifests: list[str]) -> str:
    more = f" and {len(manifests) - 1} more" if len(manifests) > 1 else ""
    return (
        f"not read: {manifests[0]}{more};"
        " a manifest inside a folder is used only when it is named as a source itself"
    )
