"""Joining files with the same content, and labels with their recordings."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from wavemill.manifests.cache import Known
from wavemill.manifests.collected import Collected
from wavemill.manifests.copies import with_copies
from wavemill.manifests.identify import ID_DIGITS, Contents
from wavemill.manifests.labels import Label
from wavemill.manifests.reasons import EntryError, Reason
from wavemill.manifests.recording import Item, Recording, SourceError, Sources

Span = tuple[int, int]
_NOTED = 5  # unknown languages that are named in a note


def merge(collected: Collected, contents: Contents, tolerance_ms: int) -> Sources:
    """Return one recording per content, sorted by id, with the labels of all its copies.

    The uri is the first one in sorted order. Labels have priority over a plain scan of the same
    file. The labels of several lines are combined; if they disagree, the first (manifest, line)
    counts. The result does not depend on the order of the sources.
    """
    sources = Sources(notes=list(collected.notes))
    half_labelled = 0
    for uri, copies in _by_content(contents):
        known = contents.recordings[uri]
        names = (uri, *copies)
        sources.duplicates += len(copies)
        labels = [label for name in names for label in collected.labels.get(name, ())]
        if not labels:
            sources.recordings.append(Recording(known.recording_id, uri, known.duration_ms))
            continue
        channels = max(contents.recordings[name].channels or 0 for name in names)
        spans = _usable(labels, known.duration_ms, channels, tolerance_ms, sources.errors)
        if spans or any(name in collected.files for name in names):
            recording = _labelled(uri, known, spans)
            half_labelled += recording.labelled and any(_partial(label) for label, _ in spans)
            sources.recordings.append(recording)
    sources.recordings += with_copies(collected.conversations.values())
    sources.duplicates += collected.repeated
    sources.recordings.sort(key=lambda recording: recording.recording_id)
    sources.notes += _unknown_languages(collected)
    if half_labelled:
        sources.notes.append(
            f"recordings with labelled and unlabelled spans: {half_labelled};"
            " only the labelled spans are used"
        )
    sources.errors += [*collected.errors, *collected.missing_errors(), *contents.errors]
    sources.errors.sort(key=_error_order)
    sources.notes.sort()
    return sources


def _unknown_languages(collected: Collected) -> list[str]:
    """Return a note on unknown languages, whose labels are used without a language."""
    counts = Counter(
        label.unknown_language
        for labels in collected.labels.values()
        for label in labels
        if label.unknown_language is not None
    )
    if not counts:
        return []
    first = ", ".join(f"{name!r:.80} ({count})" for name, count in counts.most_common(_NOTED))
    more = f" and {len(counts) - _NOTED} more" if len(counts) > _NOTED else ""
    return [f"languages that are not known, left empty and kept in metadata: {first}{more}"]


def _by_content(contents: Contents) -> list[tuple[str, list[str]]]:
    """Return (first uri in sorted order, further uris) of each content."""
    first: dict[str, str] = {}
    copies: dict[str, list[str]] = {}
    for uri in sorted(contents.recordings):
        kept = first.setdefault(contents.recordings[uri].recording_id, uri)
        if kept is not uri:
            copies.setdefault(kept, []).append(uri)
    return [(uri, copies.get(uri, [])) for uri in first.values()]


def item_id(recording_id: str, span: Span, label: Label) -> str:
    """Return the id of a labelled item, a hash of its place, question, answer and text."""
    parts = [recording_id, *span, label.task, label.question, label.answer, label.text]
    if label.channel is not None:
        parts.append(label.channel)
    text = json.dumps(parts, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]


def _usable(
    labels: Iterable[Label],
    duration_ms: int,
    channels: int,
    tolerance_ms: int,
    errors: list[SourceError],
) -> list[tuple[Label, Span]]:
    """Return the labels inside the recording with their spans, by line."""
    usable = []
    for label in sorted(labels, key=lambda label: label.origin):
        try:
            usable.append((_heard(label, channels), _span(label, duration_ms, tolerance_ms)))
        except EntryError as error:
            errors.append(SourceError(label.origin.uri, error.reason, error.message))
    return usable


def _span(label: Label, duration_ms: int, tolerance_ms: int) -> Span:
    end_ms = duration_ms if label.end_ms is None else label.end_ms
    if label.start_ms >= duration_ms or end_ms > duration_ms + tolerance_ms:
        raise EntryError(
            Reason.BEYOND_END,
            f"{label.start_ms / 1000:g} s to {end_ms / 1000:g} s lies beyond the end of the"
            f" recording at {duration_ms / 1000:g} s",
        )
    return label.start_ms, min(end_ms, duration_ms)


def _heard(label: Label, channels: int) -> Label:
    """Return the label; the only channel of a file is the same as all channels (None)."""
    if label.channel is None:
        return label
    if label.channel >= channels:
        raise EntryError(
            Reason.NO_SUCH_CHANNEL,
            f"it is about channel {label.channel} (counted from 0) of a file with {channels}"
            f" channel{'s' if channels > 1 else ''}",
        )
    if channels == 1:
        return replace(label, channel=None)
    if not label.labelled:
        raise EntryError(
            Reason.UNSUPPORTED_CHANNEL,
            f"it has no transcript and is about channel {label.channel} of {channels}; remedy:"
            " name no channel here, and set denoise.channels=split to have each by itself",
        )
    return label


def _labelled(uri: str, known: Known, spans: Sequence[tuple[Label, Span]]) -> Recording:
    items: dict[str, Item] = {}
    for label, span in spans:
        if label.labelled:
            key = item_id(known.recording_id, span, label)
            items.setdefault(key, _item(key, span, label))
    raw = [(label, span) for label, span in spans if not label.labelled]
    regions = () if items else _union([span for _, span in raw], known.duration_ms)
    return Recording(
        recording_id=known.recording_id,
        uri=uri,
        duration_ms=known.duration_ms,
        regions=regions,
        speaker=_first(label.speaker for label, _ in raw),
        language=_first(label.language for label, _ in raw),
        license=_first(label.license for label, _ in raw),
        split=_first(label.split for label, _ in raw),
        metadata=_metadata([label.metadata for label, _ in raw]),
        items=tuple(sorted(items.values(), key=lambda i: (i.start_ms, i.end_ms, i.item_id))),
    )


def _item(key: str, span: Span, label: Label) -> Item:
    return Item(
        item_id=key,
        start_ms=span[0],
        end_ms=span[1],
        task=label.task or "",
        text=label.text,
        question=label.question,
        answer=label.answer,
        speaker=label.speaker,
        language=label.language,
        license=label.license,
        split=label.split,
        metadata=label.metadata,
        channel=label.channel,
    )


def _partial(label: Label) -> bool:
    return not label.labelled and (label.start_ms > 0 or label.end_ms is not None)


def _union(spans: Iterable[Span], duration_ms: int) -> tuple[Span, ...]:
    """Return the spans in order without overlaps; () if they are the whole recording."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return () if merged == [(0, duration_ms)] else tuple(merged)


def _first(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value is not None), None)


def _metadata(texts: Sequence[str]) -> str:
    different = list(dict.fromkeys(texts))
    if len(different) < 2:
        return different[0] if different else "{}"
    merged: dict[str, Any] = {}
    for text in different:
        for key, value in json.loads(text).items():
            merged.setdefault(key, value)
    return json.dumps(merged, ensure_ascii=False, sort_keys=True)


def _error_order(error: SourceError) -> tuple[str, int, str, str]:
    path, _, line = error.source.rpartition(":")
    if path and line.isdecimal():
        return path, int(line), error.reason, error.message
    return error.source, 0, error.reason, error.message
