"""Reading a manifest: JSONL of NeMo, lhotse or conversations; each line's fields decide which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wavemill.manifests.allowed import Allowed
from wavemill.manifests.bad_lines import BadLines
from wavemill.manifests.collected import Collected, Found
from wavemill.manifests.config import LineLimits
from wavemill.manifests.conversations import is_conversation, parse_conversation
from wavemill.manifests.faults import FaultWatch, fault_of
from wavemill.manifests.filesystems import parent
from wavemill.manifests.jsonl import parse_object, read_lines
from wavemill.manifests.labels import AUDIO_FIELDS, Origin, audio_field, parse_label
from wavemill.manifests.lhotse import Supervisions, is_lhotse, read_lhotse
from wavemill.manifests.reasons import EntryError, Reason, unexpected
from wavemill.manifests.resolve import PathResolver
from wavemill.manifests.tar_layouts import nemo_names

_REPORT_EVERY = 1000  # lines between two calls of the progress callback


def looks_like_manifest(line: Mapping[str, Any]) -> bool:
    """Whether the fields are those of a line of a manifest that can be read."""
    name = audio_field(line)
    named = name is not None and isinstance(line[name], str | dict)
    return named or is_lhotse(line) or is_conversation(line)


def read_manifest(
    path: str,
    into: Collected,
    supervisions: Supervisions,
    found: Found,
    allowed: Allowed,
    limits: LineLimits,
) -> None:
    """Add the files that a manifest names, with their labels, to `into`; a bad line is an error.

    lhotse's supervisions go to `supervisions` until all manifests are read. Raises ProgramFault if
    many lines fail, all by the same fault of the program.
    """
    paths = PathResolver(parent(path), allowed)
    bad = BadLines(into, limits.max_bad_lines)
    watch = FaultWatch("reading the manifest's lines")
    empty = True
    try:
        for number, raw in read_lines(path, limits):
            empty = False
            origin = Origin(path, number)
            try:
                _read_line(parse_object(raw, limits), paths, origin, into, supervisions)
                bad.none_good = False
                watch.add(None)
            except EntryError as error:
                bad.add(origin, error)
                watch.add(None)
            except Exception as error:  # an unknown error of one line must not affect the others
                bad.add(origin, unexpected(error))
                watch.add(fault_of(error))
            bad.check()
            if number % _REPORT_EVERY == 0:
                found(len(into.files) + len(into.named))
    except EntryError as error:
        into.error(path, error)
        empty = False
    if empty:
        into.error(path, EntryError(Reason.NO_AUDIO_FOUND, "this manifest has no lines"))
    bad.finish(path)


def _read_line(
    line: dict[str, Any],
    paths: PathResolver,
    origin: Origin,
    into: Collected,
    supervisions: Supervisions,
) -> None:
    if is_conversation(line):
        into.converse(parse_conversation(line, origin.uri))
        return
    name = audio_field(line)
    if name is not None and not (name not in AUDIO_FIELDS and is_lhotse(line)):
        path = _path(line[name])
        uri, label = paths.find(path, name), parse_label(line, origin, name)
        if (tar_file := into.nemo_tar_file(line, uri, paths.folder)) is not None:
            into.label_member(tar_file, nemo_names(line, path), label)
        else:
            into.label(uri, label)
    elif is_lhotse(line):
        read_lhotse(line, paths, origin, into, supervisions)
    else:
        message = f"neither {' nor '.join(AUDIO_FIELDS)} says which recording it is about"
        raise EntryError(Reason.BAD_MANIFEST_LINE, message)


def _path(value: Any) -> Any:
    """Return the path in an `audio` of Hugging Face's datasets, any other value as it is."""
    is_audio = isinstance(value, dict) and value.get("bytes") is None
    return value["path"] if is_audio and isinstance(value.get("path"), str) else value
