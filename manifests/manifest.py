"""Reading a manifest: JSONL as NeMo writes it, or lhotse's; each line tells which by its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manifests.collected import Collected, Found, resolve
from manifests.filesystems import parent
from manifests.labels import AUDIO_FIELDS, Origin, parse_label
from manifests.lhotse import Joins, is_lhotse, read_lhotse
from manifests.lines import parse_object, read_lines
from manifests.reasons import EntryError, Reason
from manifests.tarred import nemo_names

_REPORT_EVERY = 1000  # lines between two calls of the progress callback


def looks_like_manifest(line: Mapping[str, Any]) -> bool:
    """Whether the fields are those of a line of one of the manifests that can be read."""
    return any(isinstance(line.get(name), str) for name in AUDIO_FIELDS) or is_lhotse(line)


def read_manifest(path: str, into: Collected, joins: Joins, found: Found) -> None:
    """Add the files that a manifest names, with their labels, to `into`; a bad line is an error.

    lhotse's supervisions go to `joins` until all manifests were read.
    """
    folder = parent(path)
    empty = True
    try:
        for number, raw in read_lines(path):
            empty = False
            origin = Origin(path, number)
            try:
                _read_line(parse_object(raw), folder, origin, into, joins)
            except EntryError as error:
                into.error(origin.uri, error)
            if number % _REPORT_EVERY == 0:
                found(len(into.files) + len(into.named))
    except EntryError as error:
        into.error(path, error)
        return
    if empty:
        into.error(path, EntryError(Reason.NO_AUDIO_FOUND, "this manifest has no lines"))


def _read_line(
    line: dict[str, Any], folder: str, origin: Origin, into: Collected, joins: Joins
) -> None:
    name = next((name for name in AUDIO_FIELDS if line.get(name) is not None), None)
    if name is not None:
        uri = resolve(line[name], folder, name)
        label = parse_label(line, origin)
        if (shard := into.nemo_shard(line, uri, folder)) is not None:
            into.label_member(shard, nemo_names(line, line[name]), label)
        else:
            into.label(uri, label)
    elif is_lhotse(line):
        read_lhotse(line, folder, origin, into, joins)
    else:
        message = f"neither {' nor '.join(AUDIO_FIELDS)} says which recording it is about"
        raise EntryError(Reason.BAD_MANIFEST_LINE, message)
