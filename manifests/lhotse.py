"""lhotse's manifests: cuts, recordings and supervisions, as `to_file` of lhotse 1.x writes them.

https://lhotse.readthedocs.io: a recording lists its `sources`; a cut is a span of a recording
with supervisions whose times count from the start of the cut; a supervision of its own names its
recording by id, its times count from the start of the recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from wavemill.manifests.collected import Collected
from wavemill.manifests.labels import Label, Origin, parse_label
from wavemill.manifests.reasons import EntryError, Reason, unexpected
from wavemill.manifests.resolve import PathResolver
from wavemill.manifests.tar_layouts import shar_recording
from wavemill.manifests.values import read_text, seconds

_HARMLESS_TRANSFORMS = frozenset({"Resample"})  # changes neither the content nor its times
# Fields of a supervision that state its place, not its content.
_PLACE = frozenset({"start", "duration", "channel", "recording_id", "custom"})


@dataclass(frozen=True, slots=True)
class _Source:
    """The file behind a lhotse recording, and the channels in it."""

    uri: str
    channels: tuple[int, ...]  # their names, in the order of the file; empty: not stated


@dataclass(slots=True)
class Supervisions:
    """Supervisions until the recordings manifests are read, which say where their audio is."""

    recordings: dict[str, _Source | None] = field(default_factory=dict)  # None: id used twice
    waiting: list[tuple[str, Any, Label]] = field(default_factory=list)  # id, channels, label

    def resolve(self, into: Collected) -> None:
        """Add each supervision as a label of its recording, or an error if there is none."""
        for recording_id, channels, label in self.waiting:
            try:
                source = self.recordings.get(recording_id)
                if source is None:
                    raise EntryError(
                        Reason.RECORDING_UNKNOWN,
                        f"no single recording has the id {recording_id!r} in the recordings"
                        " manifests; remedy: name that manifest as a source, too",
                    )
                into.label(source.uri, replace(label, channel=_channel(source, channels)))
            except EntryError as error:
                into.error(label.origin.uri, error)
            except Exception as error:  # an unknown error of one label must not affect the others
                into.error(label.origin.uri, unexpected(error))


def is_lhotse(line: Mapping[str, Any]) -> bool:
    """Whether a line is a cut, a recording or a supervision of lhotse."""
    return _is_cut(line) or "sources" in line or _is_supervision(line)


def read_lhotse(
    line: dict[str, Any],
    paths: PathResolver,
    origin: Origin,
    into: Collected,
    supervisions: Supervisions,
) -> None:
    """Add what one line of a lhotse manifest names to `into`, and supervisions to `supervisions`.

    A supervision with a text becomes a labelled item; its times stay as they are where it
    reaches out of its cut, since its text does, too, and it is about its own channel, which its
    cut must have. A cut without such a supervision is a span to use. Raises EntryError for what
    cannot be read (no file, features only, mixed or transformed cuts, some channels of several).
    """
    if _is_cut(line):
        _read_cut(line, paths, origin, into)
    elif "sources" in line:
        source = _source(line, paths)
        key = str(line.get("id"))
        known = supervisions.recordings.get(key, source)
        supervisions.recordings[key] = source if known == source else None
        into.label(source.uri, parse_label({**_custom(line), "id": key}, origin))
    elif _has_text(line):
        start = seconds(line.get("start"), "start")
        label = _supervision(line, start, {}, origin)
        supervisions.waiting.append((str(line["recording_id"]), line.get("channel"), label))


def _is_cut(line: Mapping[str, Any]) -> bool:
    return str(line.get("type", "")).endswith("Cut") or "supervisions" in line or "tracks" in line


def _is_supervision(line: Mapping[str, Any]) -> bool:
    return {"id", "recording_id", "start", "duration"} <= line.keys()


def _read_cut(cut: dict[str, Any], paths: PathResolver, origin: Origin, into: Collected) -> None:
    if "tracks" in cut or cut.get("type") == "PaddingCut":
        kind = cut.get("type", "MixedCut")
        raise EntryError(Reason.UNSUPPORTED_CUT, f"a {kind!s:.80} is not a span of one recording")
    if cut.get("recording") is None:
        raise EntryError(Reason.UNSUPPORTED_CUT, "the cut has features only, no recording")
    source = _source(shar_recording(cut, _object(cut, "recording"), origin.path), paths)
    start = seconds(cut.get("start", 0), "start")
    custom = _custom(cut)
    supervisions = [s for s in _list(cut, "supervisions") if _has_text(s)]
    if not supervisions:
        span = {"id": cut.get("id"), "offset": start, "duration": _duration(cut)}
        label = parse_label({**custom, **span}, origin)
        into.label(source.uri, replace(label, channel=_channel(source, cut.get("channel"))))
    for supervision in supervisions:
        try:
            at = start + seconds(supervision.get("start", 0), "start")
            channel = _channel(source, cut.get("channel"), supervision.get("channel"))
            label = _supervision(supervision, at, custom, origin)
            into.label(source.uri, replace(label, channel=channel))
        except EntryError as error:
            into.error(origin.uri, error)


def _has_text(supervision: Any) -> bool:
    if not isinstance(supervision, dict):
        raise EntryError(Reason.BAD_FIELD, "supervisions must hold JSON objects")
    text = supervision.get("text")
    return not isinstance(text, str | float | None) or read_text(text, "text") is not None


def _duration(line: dict[str, Any]) -> float:
    return seconds(line.get("duration"), "duration")


def _supervision(
    supervision: dict[str, Any], start: float, custom: dict[str, Any], origin: Origin
) -> Label:
    own = {k: v for k, v in supervision.items() if k not in _PLACE}
    # lhotse counts samples, so sums of its times are off by rounding: -1e-16 is 0.
    place = {"offset": round(start, 9), "duration": _duration(supervision)}
    return parse_label({**custom, **_custom(supervision), **own, **place}, origin)


def _source(recording: dict[str, Any], paths: PathResolver) -> _Source:
    sources = _list(recording, "sources")
    if not all(isinstance(source, dict) for source in sources):
        raise EntryError(Reason.BAD_FIELD, "sources must hold JSON objects")
    if len(sources) != 1:
        message = f"a recording must lie in one file, not in {len(sources)}"
        raise EntryError(Reason.UNSUPPORTED_SOURCE, message)
    source = sources[0]
    if source.get("type") not in ("file", "url"):
        message = f"audio of the type {source.get('type')!r:.80}: only files and URLs can be read"
        raise EntryError(Reason.UNSUPPORTED_SOURCE, message)
    for transform in _list(recording, "transforms"):
        name = transform.get("name") if isinstance(transform, dict) else transform
        if not isinstance(name, str) or name not in _HARMLESS_TRANSFORMS:
            message = (
                f"the recording is transformed ({name!s:.80}): only untouched audio can be read"
            )
            raise EntryError(Reason.UNSUPPORTED_TRANSFORM, message)
    # lhotse itself counts from the current folder.
    uri = paths.find(source.get("source"), "source", here=True)
    return _Source(uri, _channels(source.get("channels")))


def _channel(source: _Source, *wanted: Any) -> int | None:
    """Return the one channel of the file that all of `wanted` name; None: all channels.

    Each is a number or a list of numbers as the recording calls its channels, or None: any.
    """
    named = [set(_channels(value)) for value in wanted if value is not None]
    if not named:
        return None
    common = set.intersection(*named)
    if len(common) == 1 and common <= set(source.channels or common):
        (channel,) = common
        return source.channels.index(channel) if source.channels else channel
    if len(common) > 1 and common >= set(source.channels):
        return None
    raise EntryError(
        Reason.UNSUPPORTED_CHANNEL,
        f"it is about channels {_listed(*named)} of a file with the channels"
        f" {_listed(source.channels)}: one of them or all can be read",
    )


def _listed(*channels: Iterable[int]) -> str:
    return " and ".join(", ".join(map(str, sorted(some))) or "none" for some in channels)


def _channels(value: Any) -> tuple[int, ...]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        raise EntryError(Reason.BAD_FIELD, f"channels must be integers, not {value!r:.80}")
    return tuple(values)


def _list(line: dict[str, Any], name: str) -> list[Any]:
    value = line.get(name)
    if value is not None and not isinstance(value, list):
        raise EntryError(Reason.BAD_FIELD, f"{name} must be a list, not {value!r:.80}")
    return value or []


def _custom(line: dict[str, Any]) -> dict[str, Any]:
    return {} if line.get("custom") is None else _object(line, "custom")


def _object(line: dict[str, Any], name: str) -> dict[str, Any]:
    value = line[name]
    if not isinstance(value, dict):
        raise EntryError(Reason.BAD_FIELD, f"{name} must be a JSON object, not {value!r:.80}")
    return value
