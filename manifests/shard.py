"""Tar shards in WebDataset layout: `key.flac` beside `key.json` and `key.txt`."""

from __future__ import annotations

from typing import Any

from manifests.collected import Collected, is_utf8, stamp_of
from manifests.filesystems import open_file
from manifests.labels import Origin, parse_label
from manifests.lines import parse_object
from manifests.reasons import EntryError, Reason, os_error
from manifests.steady import CHANGED
from manifests.tar_index import TarIndex, tar_index
from manifests.uri import has_audio_ending, member_uri


def read_shard(path: str, into: Collected, named: bool) -> bool:
    """Add the audio members of a tar file and their labels to `into`; whether there were any.

    A sample is the members with the same path up to the first dot of the base name. Its `.json`
    holds the fields of a manifest line; its `.txt` is the text. A shard without audio is an
    error where it was `named` as a source, and passed over where a folder scan came upon it.
    """
    try:
        stamp = stamp_of(path)
        index = tar_index(path, *stamp)
        if not is_utf8(path):
            raise EntryError(Reason.NAME_NOT_UTF8, "its name is not UTF-8; remedy: rename it")
    except OSError as error:
        into.error(path, os_error(error))
        return False
    except EntryError as error:
        into.error(path, error)
        return False
    if index.damage is not None:
        into.error(path, EntryError(Reason.BAD_TAR, f"damaged tar file: {index.damage}"))
    samples = _samples(index)
    found = Collected()
    for member in samples.unreadable_names:
        message = "the name of this member is not UTF-8"
        found.error(member_uri(path, member), EntryError(Reason.NAME_NOT_UTF8, message))
    for key, audio in samples.audio.items():
        for member in audio:
            found.files[member_uri(path, member)] = stamp
        if labels := samples.labels.get(key):
            _read_labels(path, audio, labels, index, found)
    if samples.labels and stamp_of(path) != stamp:  # labels may be read from where they no more are
        into.error(path, EntryError(Reason.SOURCE_CHANGED, CHANGED))
        return False
    into.add(found)
    if not samples.audio and index.damage is None and named:
        message = "no audio among the members of this tar file"
        into.error(path, EntryError(Reason.NO_AUDIO_FOUND, message))
    return bool(samples.audio)


class _Samples:
    """Names of the members of a shard by what they are for."""

    def __init__(self) -> None:
        self.audio: dict[str, list[str]] = {}  # by the key of the sample
        self.labels: dict[str, list[str]] = {}
        self.unreadable_names: list[str] = []


def _samples(index: TarIndex) -> _Samples:
    samples = _Samples()
    for member in index.members:
        folder, slash, base = member.rpartition("/")
        stem, _, ending = base.partition(".")
        if not stem:  # a hidden file
            continue
        key = folder + slash + stem
        if not has_audio_ending(base):
            if ending in ("json", "txt"):
                samples.labels.setdefault(key, []).append(member)
        elif is_utf8(member):
            samples.audio.setdefault(key, []).append(member)
        else:
            samples.unreadable_names.append(member)
    return samples


def _read_labels(
    path: str, audio: list[str], labels: list[str], index: TarIndex, into: Collected
) -> None:
    origin = Origin(member_uri(path, sorted(labels)[0]))
    try:
        fields = _fields(path, sorted(labels), index)
        if len(audio) > 1:
            message = f"it could be for any of {len(audio)} audio members of the sample"
            raise EntryError(Reason.AMBIGUOUS_LABEL, message)
        label = parse_label(fields, origin)
    except OSError as error:
        into.error(origin.uri, os_error(error))
    except EntryError as error:
        into.error(origin.uri, error)
    else:
        into.labels.setdefault(member_uri(path, audio[0]), []).append(label)


def _fields(path: str, members: list[str], index: TarIndex) -> dict[str, Any]:
    """Return the fields of `key.json`, with `key.txt` as the text that it does not give."""
    fields: dict[str, Any] = {}
    with open_file(path) as file:
        for member in members:  # .json before .txt
            offset, size = index.members[member]
            file.seek(offset)
            content = file.read(size)
            try:
                if member.endswith(".json"):
                    fields |= parse_object(content)
                elif not fields.get("text"):
                    fields["text"] = content.decode().strip()
            except (EntryError, UnicodeDecodeError) as error:
                raise EntryError(Reason.BAD_LABEL, f"{member}: {error}") from error
    return fields
