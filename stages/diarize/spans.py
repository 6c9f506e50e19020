"""Spans of time in integer milliseconds, half open, and what is done with lists of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Span = tuple[int, int]  # (start_ms, end_ms), start < end


def intersect(first: Sequence[Span], second: Sequence[Span]) -> list[Span]:
    """Return what lies in both; each list is in time order and free of overlap."""
    out: list[Span] = []
    i = j = 0
    while i < len(first) and j < len(second):
        start = max(first[i][0], second[j][0])
        end = min(first[i][1], second[j][1])
        if start < end:
            out.append((start, end))
        if first[i][1] < second[j][1]:
            i += 1
        else:
            j += 1
    return out


def union(spans: Iterable[Span]) -> list[Span]:
    """Return the same time as spans in order that neither overlap nor touch."""
    out: list[Span] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out


def length(spans: Iterable[Span]) -> int:
    """Return the summed length in milliseconds."""
    return sum(end - start for start, end in spans)
