"""Dividing the work on long recordings into pieces, for several workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial

from wavemill.manifests.recording import Recording
from wavemill.pipeline.graph import ConfiguredStage
from wavemill.pipeline.output_key import table_key
from wavemill.pipeline.piece import Piece, piece_key
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import Task, failed_before, finished_before, selected_rows
from wavemill.stages.recording_stage import Division

Divide = Callable[[Task, ConfiguredStage], tuple[Piece, ...]]


def undivided(task: Task, stage: ConfiguredStage) -> tuple[Piece, ...]:
    """Divide nothing."""
    del task, stage
    return ()


def divider(store: Store, piece_seconds: float) -> Divide:
    """Return `divide` for a store."""
    return partial(divide, store=store, piece_seconds=piece_seconds)


def divide(
    task: Task, stage: ConfiguredStage, store: Store, piece_seconds: float
) -> tuple[Piece, ...]:
    """Return the pieces of a task's long recordings, of about `piece_seconds` of audio each.

    They depend on the recordings and their rows only. None of a recording for which two would be
    shorter than that, or of a stage that is not divided. The pieces of one recording follow one
    another and hold all its rows.
    """
    piece_ms = piece_seconds * 1000
    long = [r for r in task.recordings if r.duration_ms >= 2 * piece_ms]
    if stage.division is None or not long:
        return ()
    kept = selected_rows(task, stage, store) if stage.selected_by else None
    output = task.output if kept is None else kept.output
    if finished_before(output, store) is not None:
        return ()
    failed = failed_before(task, store) | set(task.excluded)
    long = [r for r in long if r.recording_id not in failed]
    if kept is not None and kept.stage == stage.division.stage:
        rows = Counter(kept.rows["recording_id"].to_pylist())
    else:
        rows = _count(task.inputs[stage.division.stage], long, store)
    return tuple(
        piece
        for recording in long
        for piece in _pieces(
            recording, rows[recording.recording_id], stage.division, piece_ms, task, output
        )
    )


def _count(outputs: Iterable[str], recordings: Iterable[Recording], store: Store) -> Counter[str]:
    rows: Counter[str] = Counter()
    for output in outputs:
        with closing(store.open_table(table_key(output))) as file:
            for recording in recordings:
                for batch in file.rows(recording.recording_id, ["recording_id"]):
                    rows[recording.recording_id] += batch.num_rows
    return rows


def _pieces(
    recording: Recording, rows: int, division: Division, piece_ms: float, task: Task, output: str
) -> list[Piece]:
    """Divide the rows of a recording evenly; an empty list if that gives one piece."""
    count = max(1, round(recording.duration_ms / piece_ms))
    size = -(-rows // (count * division.rows)) * division.rows
    if rows <= size:
        return []
    found = []
    for first in range(0, rows, size):
        end = min(first + size, rows)
        audio_ms = recording.duration_ms * end // rows - recording.duration_ms * first // rows
        key = piece_key(output, task.written, recording.recording_id, range(first, end))
        found.append(Piece(recording.recording_id, division.stage, first, end, audio_ms, key))
    return found
