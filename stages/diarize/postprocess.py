"""The report's post-processing of a diarization (section 3.1), as pure functions.

Nothing here knows an engine: embeddings are arrays, segments are dataclasses, and every
threshold is an argument. Times are integer milliseconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wavemill.stages.diarize.engine import Turn
from wavemill.stages.diarize.spans import Span, intersect

Energy = Callable[[int, int], NDArray[np.floating]]
ENERGY_FRAME_MS = 10


def merge_clusters(
    representatives: NDArray[np.floating], weights: NDArray[np.floating], threshold: float
) -> NDArray[np.int64]:
    """Merge clusters whose representatives have a cosine similarity above `threshold`.

    `representatives` is (k, d), `weights` (k,) positive durations. The most similar pair is
    merged first; the merged representative is the mean weighted by duration; this repeats
    until no pair exceeds the threshold (the report gives 0.6 for its embedding). Returns (k,)
    int64: for each cluster the lowest number among the clusters that it was merged with.
    """
    count = len(representatives)
    owner = np.arange(count)
    sums = np.asarray(representatives, dtype=np.float64) * np.asarray(weights)[:, None]
    alive = np.ones(count, dtype=bool)
    while alive.sum() > 1:
        similarity = _cosines(sums, sums)
        similarity[~alive, :] = similarity[:, ~alive] = -np.inf
        similarity[np.tril_indices(count)] = -np.inf
        keep, gone = divmod(int(np.argmax(similarity)), count)
        if not similarity[keep, gone] > threshold:
            break
        sums[keep] += sums[gone]  # a weighted mean but for its length, which cosines ignore
        alive[gone] = False
        owner[owner == gone] = keep
    return owner


def cut_chunks(turns: Sequence[Turn], chunk_ms: int) -> tuple[list[Turn], NDArray[np.int64]]:
    """Cut turns into chunks of `chunk_ms` (report: 1.5 s); the last of a turn may be shorter.

    A remainder below half a chunk is left with the chunk before it: an embedding of a few
    frames says nothing. Returns the chunks in order and for each the index of its turn.
    """
    chunks: list[Turn] = []
    source: list[int] = []
    for index, turn in enumerate(turns):
        count = max(1, round((turn.end_ms - turn.start_ms) / chunk_ms))
        edges = [turn.start_ms + i * chunk_ms for i in range(count)] + [turn.end_ms]
        chunks += [Turn(a, b, turn.speaker) for a, b in pairwise(edges)]
        source += [index] * count
    return chunks, np.asarray(source, dtype=np.int64)


def reassign_chunks(
    speakers: NDArray[np.int64],
    sources: NDArray[np.int64],
    embeddings: NDArray[np.floating],
    representatives: dict[int, NDArray[np.floating]],
    threshold: float,
) -> NDArray[np.int64]:
    """Give both of two unlike neighbouring chunks to the cluster each is most similar to.

    Neighbours are consecutive chunks with the same source (turn); unlike means a cosine
    similarity below `threshold` (report: 0.5). `speakers` and `sources` are (n,), `embeddings`
    (n, d), `representatives` one (d,) vector per speaker. Returns the new speakers, (n,).
    """
    if len(speakers) < 2:
        return speakers.copy()
    unit = _unit(embeddings)
    unlike = (np.sum(unit[1:] * unit[:-1], axis=1) < threshold) & (sources[1:] == sources[:-1])
    doubtful = np.zeros(len(speakers), dtype=bool)
    doubtful[1:] |= unlike
    doubtful[:-1] |= unlike
    names = np.asarray(sorted(representatives), dtype=np.int64)
    similarity = _cosines(unit, np.stack([representatives[int(name)] for name in names]))
    return np.where(doubtful, names[np.argmax(similarity, axis=1)], speakers)


def join_chunks(chunks: Sequence[Turn], sources: NDArray[np.int64]) -> list[Turn]:
    """Undo `cut_chunks` where neighbours of one turn kept (or got) the same speaker."""
    out: list[Turn] = []
    for index, chunk in enumerate(chunks):
        same_turn = index > 0 and sources[index] == sources[index - 1]
        if same_turn and chunk.speaker == out[-1].speaker:
            out[-1] = replace(out[-1], end_ms=chunk.end_ms)
        else:
            out.append(chunk)
    return out


def by_region(turns: Sequence[Turn], regions: Sequence[Span]) -> list[list[Turn]]:
    """Group turns by the region that they start in; without regions they are one group."""
    starts = [start for start, _ in regions]
    groups: dict[int, list[Turn]] = {}
    for turn in turns:
        groups.setdefault(bisect_right(starts, turn.start_ms), []).append(turn)
    return [groups[key] for key in sorted(groups)]


def merge_segments(turns: Sequence[Turn], max_length_ms: int, max_gap_ms: int) -> list[Turn]:
    """Join neighbouring turns of the same speaker, from left to right.

    Neighbours are next to each other in time order, with no other speaker's turn between
    them. They stay apart when the joined length would exceed `max_length_ms` (report: 27 s) or
    the silence between them exceeds `max_gap_ms` (report: 2 s). A turn that is longer on its
    own passes unchanged; see `split_long`.
    """
    out: list[Turn] = []
    for turn in sorted(turns, key=lambda t: (t.start_ms, t.end_ms, t.speaker)):
        if out and out[-1].speaker == turn.speaker:
            last = out[-1]
            end = max(last.end_ms, turn.end_ms)
            if end - last.start_ms <= max_length_ms and turn.start_ms - last.end_ms <= max_gap_ms:
                out[-1] = replace(last, end_ms=end)
                continue
        out.append(turn)
    return out


def split_long(
    turn: Turn,
    speech: Sequence[Span],
    energy: Energy,
    max_length_ms: int,
    margin_ms: int,
    window_ms: int,
) -> list[Turn]:
    """Split a turn longer than `max_length_ms` at its longest pause, again and again.

    Pauses are the gaps between `speech` spans; a cut drops the pause. Where there is none, the
    cut falls in the quietest stretch of `window_ms`. Cuts keep `margin_ms` from both ends,
    so that no splinters arise. `energy(start_ms, end_ms)` returns one value per 10 ms.
    """
    if turn.end_ms - turn.start_ms <= max_length_ms:
        return [turn]
    pause = _longest_pause(turn, speech, margin_ms)
    if pause is None:
        cut = _quietest_point(turn, energy, min(margin_ms, max_length_ms // 2), window_ms)
        pause = (cut, cut)
    halves = (replace(turn, end_ms=pause[0]), replace(turn, start_ms=pause[1]))
    return [
        piece
        for half in halves
        for piece in split_long(half, speech, energy, max_length_ms, margin_ms, window_ms)
    ]


def _longest_pause(turn: Turn, speech: Sequence[Span], margin_ms: int) -> Span | None:
    inside = intersect(speech, [(turn.start_ms, turn.end_ms)])
    pauses = [(a[1], b[0]) for a, b in pairwise(inside)]
    low, high = turn.start_ms + margin_ms, turn.end_ms - margin_ms
    pauses = [p for p in pauses if p[0] >= low and p[1] <= high and p[0] < p[1]]
    return max(pauses, key=lambda p: (p[1] - p[0], -p[0]), default=None)


def _quietest_point(turn: Turn, energy: Energy, margin_ms: int, window_ms: int) -> int:
    start, end = turn.start_ms + margin_ms, turn.end_ms - margin_ms
    values = np.asarray(energy(start, end), dtype=np.float64)
    width = max(1, min(window_ms // ENERGY_FRAME_MS, len(values)))
    sums = np.convolve(values, np.ones(width), mode="valid")
    middle = (int(np.argmin(sums)) + width / 2) * ENERGY_FRAME_MS
    return min(start + int(middle), end)


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    wide = np.asarray(vectors, dtype=np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=-1, keepdims=True), 1e-12)


def _cosines(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    return _unit(a) @ _unit(b).T
