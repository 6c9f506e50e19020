"""Finding the recordings in the sources of a user: folders, files, manifests, tar files."""

from __future__ import annotations

import os
from collections.abc import Sequence

from wavemill.manifests.allowed import Allowed
from wavemill.manifests.cache import HashCache
from wavemill.manifests.collected import Collected, Found, stamp_of
from wavemill.manifests.config import ScanConfig
from wavemill.manifests.conversation_table import (
    is_table_of_conversations,
    read_table_of_conversations,
)
from wavemill.manifests.file_names import is_utf8
from wavemill.manifests.filesystems import (
    exists,
    is_folder,
    is_url,
    split_options,
    without_file_scheme,
)
from wavemill.manifests.folder import scan_folder
from wavemill.manifests.gc_pause import paused_gc
from wavemill.manifests.identify import Probe, Progress, identify
from wavemill.manifests.kinds import FileKind, kind_by_name
from wavemill.manifests.lhotse import Supervisions
from wavemill.manifests.manifest import read_manifest
from wavemill.manifests.merge import merge
from wavemill.manifests.reasons import EntryError, Reason, SourceNotFound, os_error
from wavemill.manifests.recording import Sources
from wavemill.manifests.sniff import kind_of_file
from wavemill.manifests.unread import WHY
from wavemill.manifests.uri import base_name
from wavemill.manifests.webdataset import read_tar_file

_DEFAULTS = ScanConfig()


def scan_sources(
    sources: Sequence[str],
    probe: Probe,
    cache: HashCache,
    progress: Progress | None = None,
    config: ScanConfig = _DEFAULTS,
) -> Sources:
    """Find all recordings in `sources`.

    A source is a folder (searched recursively for audio and tar files), a tar file (.tar), a
    manifest (.jsonl, .json, ..., or any file whose first line is one of NeMo, of lhotse, or has
    the fields of `manifests.labels` or `manifests.conversations`), a Parquet file of conversations,
    or a single audio file of any other name. A manifest is read only if it is a source itself.
    Files that are not read are counted in the notes.

    `progress` is called with (files so far, None) while files are searched, then with (files
    known, files in all). The result does not depend on the order of the sources; `cache`, which is
    saved at the end, only makes the scan faster. Entries that cannot be used are errors in the
    result. Raises SourceNotFound for sources that do not exist, and LocationError for a URL that
    cannot be used.
    """
    report = progress or _no_progress
    paths = _existing(sources)
    with paused_gc():
        collected = _collect(paths, lambda count: report(count, None), config)
    try:
        candidates = {**collected.named, **collected.files}
        contents = identify(candidates, probe, cache, report, config)
    finally:
        note = _save(cache)
    if note is not None:
        collected.notes.append(note)
    with paused_gc():
        return merge(collected, contents, config.end_tolerance_ms)


def _existing(sources: Sequence[str]) -> list[str]:
    """Return the absolute paths of the sources, each once, sorted."""
    names = [without_file_scheme(source) for source in sources]
    missing = [name for name in names if not _is_there(name)]
    if missing:
        raise SourceNotFound(missing)
    return sorted({_absolute(name) for name in names})


def _absolute(name: str) -> str:
    if is_url(name):
        stem, options = split_options(name)
        return stem.rstrip("/") + options
    return os.path.abspath(name)  # noqa: PTH100 (keeps links)


def _is_there(source: str) -> bool:
    """Whether a source exists; one without permission does, and becomes an error later."""
    if is_url(source):
        return exists(source)
    try:
        os.lstat(source)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True
    return bool(source)


def _collect(paths: Sequence[str], found: Found, config: ScanConfig) -> Collected:
    collected = Collected()
    supervisions = Supervisions()
    allowed = Allowed(config.allow, paths)
    named = frozenset(paths)
    manifests = []
    for path in paths:
        if _is_folder(path):
            scan_folder(path, named, collected, found, config)
            continue
        kind = _kind(path, collected)
        if kind is FileKind.TAR:
            read_tar_file(path, collected, config, named=True)
        elif kind is FileKind.MANIFEST:
            manifests.append(path)
        elif kind is FileKind.AUDIO:
            _single_file(path, collected)
        elif kind is FileKind.TABLE:
            read_table_of_conversations(path, collected, config.lines)
    for path in manifests:
        read_manifest(path, collected, supervisions, found, allowed, config.lines)
    supervisions.resolve(collected)
    collected.look_up_members()
    collected.look_up_remote()
    collected.notes += collected.unread.notes()
    return collected


def _kind(path: str, into: Collected) -> FileKind | None:
    """Return how a file is read: AUDIO, TAR, MANIFEST or (of conversations) TABLE; else None.

    None comes with an error. A file of unknown kind is tried as audio, as it was named as a source.
    """
    by_name = kind_by_name(base_name(path))
    if by_name in (FileKind.AUDIO, FileKind.TAR, FileKind.MANIFEST):
        return by_name
    try:
        stamp_of(path)
        kind = kind_of_file(path)
        if kind is FileKind.TABLE and is_table_of_conversations(path):
            return kind
    except (EntryError, OSError) as error:
        into.error(path, os_error(error) if isinstance(error, OSError) else error)
        return None
    if kind in (FileKind.AUDIO, FileKind.MANIFEST):
        return kind
    for refused in (kind, by_name):
        if refused in (FileKind.TAR, FileKind.ARCHIVE, FileKind.TABLE):
            into.error(path, EntryError(Reason.UNSUPPORTED_SOURCE, WHY[refused]))
            return None
    return FileKind.AUDIO


def _is_folder(path: str) -> bool:
    if not is_url(path):
        return os.path.isdir(path)  # noqa: PTH112 (Path.is_dir raises without permission)
    try:
        return is_folder(path)
    except OSError:
        return False  # reading it as a file then reports why


def _single_file(path: str, into: Collected) -> None:
    try:
        if not is_utf8(path):
            raise EntryError(Reason.NAME_NOT_UTF8, "its name is not UTF-8; remedy: rename it")
        into.files[path] = stamp_of(path)
    except EntryError as error:
        into.error(path, error)


def _no_progress(_done: int, _total: int | None) -> None:
    pass


def _save(cache: HashCache) -> str | None:
    try:
        cache.save()
    except OSError as error:
        return f"the hash cache could not be written, the next scan reads all files again: {error}"
    return None
