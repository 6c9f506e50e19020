"""Reading tar files in the layout of WebDataset: `key.flac` beside `key.json` and `key.txt`."""

from __future__ import annotations

import codecs
from typing import Any, BinaryIO

from wavemill.manifests.collected import Collected, stamp_of
from wavemill.manifests.config import ScanConfig
from wavemill.manifests.file_names import in_a_line, is_utf8
from wavemill.manifests.filesystems import open_file
from wavemill.manifests.jsonl import parse_object
from wavemill.manifests.kinds import HEAD_BYTES, FileKind, is_label, kind_by_head, kind_by_name
from wavemill.manifests.label_pairing import pair_labels
from wavemill.manifests.labels import Origin, parse_label
from wavemill.manifests.reasons import EntryError, Reason, os_error
from wavemill.manifests.sniff import kind_of_file, kinds_of
from wavemill.manifests.tar_index import TarIndex, tar_index
from wavemill.manifests.tar_layouts import without_place
from wavemill.manifests.uri import CHANGED, member_uri, open_member

# Kinds that mean something else in a tar file, where nothing can be named as a source.
_IN_TAR_FILE = {FileKind.TAR: FileKind.ARCHIVE, FileKind.MANIFEST: FileKind.LABEL}
# Kinds for which a member that cannot be read is not an error.
_NO_LOSS = frozenset({FileKind.CLUTTER, FileKind.TABLE, FileKind.ARCHIVE, FileKind.UNFINISHED})


def read_tar_file(path: str, into: Collected, config: ScanConfig, named: bool) -> bool:
    """Add the audio members of a tar file and their labels to `into`.

    Return whether it has audio members.

    `pair_labels` decides which labels belong to which audio. A `.json` holds the fields of a
    manifest line; a `.txt` is the text. A tar file without audio is an error if it is a source
    itself (`named`), and is skipped in a folder.
    """
    if path in into.tar_files:
        return into.tar_files[path]
    into.tar_files[path] = False
    found = Collected()
    try:
        if not is_utf8(path):
            raise EntryError(Reason.NAME_NOT_UTF8, "its name is not UTF-8; remedy: rename it")
        stamp = stamp_of(path)
        index = tar_index(path, *stamp)
        members = _TarFile(path, index, found, config)
        if index.damage is not None:
            found.error(path, EntryError(Reason.BAD_TAR, _damage(path, index)))
        members.sort_members()
        members.read_labels()
    except OSError as error:
        into.error(path, os_error(error))
        return False
    except EntryError as error:
        into.error(path, error)
        return False
    for member in members.audio:
        found.files[member_uri(path, member)] = stamp
    if not members.audio and named and not found.errors:
        message = "no audio among the members of this tar file"
        found.error(path, EntryError(Reason.NO_AUDIO_FOUND, message))
    if index.repeated:
        found.notes.append(
            f"members that a later one of the same name replaces: {index.repeated:,}"
            f" in {in_a_line(path)}"
        )
    if stamp_of(path) != stamp:  # members and labels may have been read at wrong places
        into.error(path, EntryError(Reason.SOURCE_CHANGED, CHANGED))
        return False
    into.add(found)
    into.tar_files[path] = bool(members.audio)
    return into.tar_files[path]


def _damage(path: str, index: TarIndex) -> str:
    if not index.members and kind_of_file(path) is FileKind.ARCHIVE:
        return (
            "this tar file is compressed; remedy: gunzip it (or unxz, unzstd) under the same name"
        )
    return f"damaged tar file: {index.damage}"


class _TarFile:
    """The members of a tar file: audio, labels, and others."""

    def __init__(self, path: str, index: TarIndex, into: Collected, config: ScanConfig) -> None:
        self._path = path
        self._index = index
        self._into = into
        self._config = config
        self.audio: list[str] = []
        self._labels: list[str] = []

    def sort_members(self) -> None:
        """Sort members into audio and labels; count others; add errors for unreadable ones."""
        unknown = []
        for member in self._index.members:
            base = member.rpartition("/")[2]
            kind = kind_by_name(base)
            if _is_hidden(member):
                self._leave(member, FileKind.CLUTTER)
            elif is_label(base):
                self._labels.append(member)
            elif kind is FileKind.AUDIO:
                self._add_audio(member)
            elif kind is None:
                unknown.append(member)
            else:
                self._leave(member, kind)
        for member, found in kinds_of(unknown, self._look, self._config):
            if found is FileKind.AUDIO:
                self._add_audio(member)
            elif isinstance(found, EntryError):
                self._into.error(member_uri(self._path, member), found)
            else:
                self._leave(member, found)
        for member, why in self._index.unusable.items():
            kind = kind_by_name(member.rpartition("/")[2])
            if kind in _NO_LOSS or _is_hidden(member):
                self._leave(member, kind or FileKind.CLUTTER)
            else:
                self._into.error(member_uri(self._path, member), EntryError(Reason.BAD_MEMBER, why))

    def _add_audio(self, member: str) -> None:
        """Add an audio member, or an error if it cannot be used."""
        known = self._index.members[member]
        error = None
        if not is_utf8(member):
            message = "the name of this member is not UTF-8"
            error = EntryError(Reason.NAME_NOT_UTF8, message)
        elif known.extents is not None and known.size > self._config.max_sparse_bytes:
            message = f"a sparse member of {known.size:,} bytes (sources.max_sparse_bytes)"
            error = EntryError(Reason.BAD_MEMBER, message)
        if error is None:
            self.audio.append(member)
        else:
            self._into.error(member_uri(self._path, member), error)

    def _leave(self, member: str, kind: FileKind) -> None:
        base = "." if _is_hidden(member) else member.rpartition("/")[2]
        kind = _IN_TAR_FILE.get(kind, kind)
        self._into.unread.add(kind, member_uri(self._path, member), base)

    def _look(self, member: str) -> FileKind:
        with open_member(self._path, self._index.members[member]) as file:
            return kind_by_head(file.read(HEAD_BYTES))

    def read_labels(self) -> None:
        """Read the label of each audio member that has one."""
        samples = pair_labels(self.audio, self._labels)
        for member in samples.unclaimed:
            self._leave(member, FileKind.LABEL)
        for member, message in samples.ambiguous.items():
            error = EntryError(Reason.AMBIGUOUS_LABEL, message)
            self._into.error(member_uri(self._path, member), error)
        if not samples.labels:
            return
        with open_file(self._path) as file:
            for audio, labels in samples.labels.items():
                origin = Origin(member_uri(self._path, labels[0]))
                try:
                    label = parse_label(self._fields(labels, file), origin)
                except OSError as error:
                    self._into.error(origin.uri, os_error(error))
                except EntryError as error:
                    self._into.error(origin.uri, error)
                else:
                    uri = member_uri(self._path, audio)
                    self._into.labels.setdefault(uri, []).append(label)

    def _fields(self, members: list[str], file: BinaryIO) -> dict[str, Any]:
        """Return the fields of the `.json`; if it has no text, that of the `.txt`."""
        fields: dict[str, Any] = {}
        for member in members:  # .json before .txt
            try:
                content = _in_utf8(self._content(member, file))
                if member.lower().endswith(".json"):
                    fields |= without_place(parse_object(content))
                elif not fields.get("text"):
                    fields["text"] = content.decode().strip()
            except (EntryError, UnicodeDecodeError) as error:
                raise EntryError(Reason.BAD_LABEL, f"{member!r}: {error}") from error
        return fields

    def _content(self, member: str, file: BinaryIO) -> bytes:
        """Return the bytes of a label in the opened tar file. Raises EntryError and OSError."""
        known = self._index.members[member]
        if known.size > self._config.max_label_bytes:
            raise EntryError(Reason.BAD_LABEL, "it is too long (sources.max_label_bytes)")
        if known.extents is None:  # opening it for each label would cost requests to a store
            file.seek(known.offset)
            return file.read(known.size)
        with open_member(self._path, known) as sparse:
            return sparse.read()


def _in_utf8(content: bytes) -> bytes:
    """Return a text in UTF-8 without a byte order mark; Windows writes UTF-16 too."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16").encode()
    return content.removeprefix(codecs.BOM_UTF8)


def _is_hidden(member: str) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in member.split("/"))
