"""Finding the members of tar files that a manifest names, in the layouts of NeMo and lhotse Shar.

NeMo's tarred sets have a manifest whose lines give the number of a tar file (`shard_id`), beside
`audio_0.tar`, `audio_1.tar`, ...; the members have no folders. A Shar folder has the cuts in
`cuts.000000.jsonl.gz` and their audio in `recording.000000.tar`, named by the id of the cut.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Collection, Mapping
from typing import Any

from wavemill.manifests.file_names import composed
from wavemill.manifests.filesystems import exists, is_url, join_url, split_options
from wavemill.manifests.kinds import FileKind, has_audio_ending, kind_by_name
from wavemill.manifests.reasons import EntryError, Reason
from wavemill.manifests.tar_index import TarIndex

_NUMBER = re.compile(r"(\d{1,18})\D*$", re.ASCII)
_SHARD_ID = re.compile(r"\d{1,15}(\.0*)?", re.ASCII)
_REPEATED = re.compile(r"-sub\d+(?=\.[^.]*$)")  # another line about the same member
_SHAR_CUTS = re.compile(r"cuts((?:\.[^/]*?)?)\.jsonl(\.gz)?$")


def nemo_names(line: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return possible names of the member that a line of a NeMo tarred set is about.

    Audio that was encoded again has another ending. If a file has several lines, all but one have
    a number in their names.
    """
    base = posixpath.basename(name)
    names = [name, base, posixpath.splitext(base)[0]]
    if "offset" in line:
        first = _REPEATED.sub("", base)
        names += [first, posixpath.splitext(first)[0]]
    return tuple(dict.fromkeys(names))


def shar_recording(cut: Mapping[str, Any], recording: dict[str, Any], cuts: str) -> dict[str, Any]:
    """Return the recording of a cut in the manifest `cuts`; in a Shar folder, with its tar file.

    Raises EntryError (`unsupported_source`) if a Shar manifest does not have the name of one.
    """
    sources = recording.get("sources")
    if not (isinstance(sources, list) and len(sources) == 1 and isinstance(sources[0], dict)):
        return recording
    if sources[0].get("type") != "shar":
        return recording
    stem, options = split_options(cuts)
    found = _SHAR_CUTS.search(stem)
    if found is None:
        raise EntryError(
            Reason.UNSUPPORTED_SOURCE,
            "the audio of a Shar cut is in recording.N.tar beside cuts.N.jsonl.gz;"
            " remedy: let the manifest have that name",
        )
    tar = f"{stem[: found.start()]}recording{found.group(1)}.tar{options}"
    source = {**sources[0], "type": "file", "source": f"{tar}#{cut.get('id')}"}
    return {**recording, "sources": [source]}


def without_place(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a label; of a recording that Shar stores, only the id."""
    is_recording = "sources" in fields and "sampling_rate" in fields
    return {"id": fields.get("id")} if is_recording else fields


class NemoTarFiles:
    """Finds tar files of NeMo's tarred sets by their numbers."""

    def __init__(self) -> None:
        self._tars: dict[tuple[str, int | None], tuple[str, ...]] = {}
        self._known: dict[tuple[str, int], str | None] = {}

    def find(self, line: Mapping[str, Any], folder: str, tar_files: Collection[str]) -> str | None:
        """Return the tar file that holds the audio of a line, None if the line names none.

        It is beside the manifest (in `folder`), one folder up, or among the tar files that were
        read. Raises EntryError (`ambiguous_label`) if several match.
        """
        number = _whole(line.get("shard_id"))
        if number is None:
            return None
        if (folder, number) not in self._known:
            self._known[folder, number] = self._look(folder, number, tar_files)
        return self._known[folder, number]

    def _look(self, folder: str, number: int, tar_files: Collection[str]) -> str | None:
        above = join_url(folder, "..") if is_url(folder) else os.path.dirname(folder)  # noqa: PTH120
        for tars in (self._in(folder, number), self._in(above, number), sorted(tar_files)):
            found = [tar for tar in tars if _number(tar) == number]
            if len(found) > 1:
                found = [tar for tar in found if _base(tar) == f"audio_{number}.tar"] or found
            if len(found) > 1:
                message = f"shard {number} could be {found[0]!r} or {found[1]!r}"
                raise EntryError(Reason.AMBIGUOUS_LABEL, message)
            if found:
                return found[0]
        return None

    def _in(self, folder: str, number: int) -> tuple[str, ...]:
        key = (folder, number if is_url(folder) else None)
        if key not in self._tars:
            self._tars[key] = _tar_at(folder, number) if is_url(folder) else _tars_in(folder)
        return self._tars[key]


def _whole(value: Any) -> int | None:
    """Return a number of a tar file, also in the spelling of pandas; None for other values."""
    if isinstance(value, str) and _SHARD_ID.fullmatch(value):
        value = float(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def _tar_at(folder: str, number: int) -> tuple[str, ...]:
    tar = join_url(folder, f"audio_{number}.tar")
    return (tar,) if exists(tar) else ()


def _tars_in(folder: str) -> tuple[str, ...]:
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return ()
    tars = sorted(name for name in names if kind_by_name(name) is FileKind.TAR)
    return tuple(os.path.join(folder, name) for name in tars)  # noqa: PTH118


def _number(tar: str) -> int | None:
    found = _NUMBER.search(_base(tar))
    return int(found.group(1)) if found else None


def _base(name: str) -> str:
    return split_options(name)[0].rpartition("/")[2]


class MemberNames:
    """Finds members of one tar file under the names that manifests use."""

    def __init__(self, index: TarIndex) -> None:
        self._index = index
        self._like: dict[str, list[str]] = {}
        for member in index.members:
            plain = composed(member)
            for name in {plain, posixpath.normpath(plain), *_stem(plain)}:
                self._like.setdefault(name, []).append(member)

    def find(self, names: Collection[str]) -> str:
        """Return the member that has one of the names, or with an audio ending after it.

        Raises EntryError.
        """
        for name in names:
            if name in self._index.members:
                return name
            if name in self._index.unusable:
                raise EntryError(Reason.BAD_MEMBER, self._index.unusable[name])
            found = self._like.get(composed(name), [])
            if len(found) == 1:
                return found[0]
            if found:
                message = f"{found[0]!r} or {found[1]!r} of the tar file may be meant"
                raise EntryError(Reason.AMBIGUOUS_LABEL, message)
        raise EntryError(Reason.FILE_MISSING, "no such member of the tar file")


def _stem(name: str) -> tuple[str, ...]:
    return (name.rpartition(".")[0],) if has_audio_ending(name) else ()
