"""One stage on one shard: the work, done the same way in a worker or in this process."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from wavemill.manifests.faults import fault_of
from wavemill.manifests.recording import Recording
from wavemill.pipeline.damage import Recorded, WorkdirDamaged
from wavemill.pipeline.digest import digest_of, digest_of_lines
from wavemill.pipeline.graph import ConfiguredStage
from wavemill.pipeline.output_key import OutputKey, errors_key, table_key
from wavemill.pipeline.piece import (
    ErrorRow,
    Piece,
    PieceOutcome,
    outcome_metadata,
    read_outcome,
    read_piece,
)
from wavemill.pipeline.store import Store, file_sha256
from wavemill.pipeline.table_file import TableFile, TableWriter
from wavemill.stages.recording_stage import (
    PASSING_REASONS,
    RecordingError,
    RecordingStage,
    SpanError,
)

ERRORS_SCHEMA = pa.schema(
    [
        pa.field("stage", pa.string(), False, {"description": "stage that gave up"}),
        pa.field(
            "recording_id", pa.string(), True, {"description": "null: no recording could be read"}
        ),
        pa.field("source", pa.string(), False, {"description": "where the recording came from"}),
        pa.field("reason", pa.string(), False, {"description": "stable snake_case name"}),
        pa.field("message", pa.string(), False, {"description": "what happened, for a person"}),
        pa.field("uri", pa.string(), False, {"description": "source again, for older queries"}),
        pa.field(
            "start_ms",
            pa.int64(),
            True,
            {"description": "of the span that cannot be used, ms; null: none of it can"},
        ),
        pa.field("end_ms", pa.int64(), True, {"description": "its end, ms"}),
    ]
)
UNEXPECTED = "unexpected_error"  # reason of an exception that no stage foresaw
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
TASK_RESULT = "wavemill.report"  # key of the TaskResult, as JSON, in a table's metadata


@dataclass(frozen=True)
class Task:
    """Descriptor of the work; small, since it travels to workers."""

    stage: str
    shard_id: str
    recordings: tuple[Recording, ...]
    output: str  # key of the table, without `.parquet`
    inputs: Mapping[str, tuple[str, ...]]  # stage -> keys of its tables, for all ancestors
    written: tuple[str, ...] = ()  # of a selected stage: keys of what it wrote before
    with_errors: tuple[str, ...] = ()  # those of `inputs` that have an errors table
    recorded: Mapping[str, Recorded] = field(default_factory=dict)  # key of a file -> the ledger's
    selects: bool = False  # another stage works on the rows that this one marks `kept`
    excluded: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    # recording_id -> (reason, message): not run, but rows of the errors table
    piece: Piece | None = None  # to make this piece of the only recording, and no table
    pieces: tuple[Piece, ...] = ()  # that were made before: the table takes their rows
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskResult:
    """What came of a task; the table's own metadata holds it too."""

    stage: str
    shard_id: str
    stem: str  # the task's output: what the plan asked for
    output: str  # key of the table that now exists; a selected stage adds to the stem
    rows: int
    errors: int
    audio_ms: int
    seconds: float  # of wall time
    cpu_seconds: float
    kept: str | None  # of a selecting stage: digest of the ids that it keeps
    bytes: int = 0
    sha256: str = ""
    errors_sha256: str | None = None
    tried: int = 0  # recordings that the stage was run on
    fault: str | None = None  # of the program (`fault_of`), that every one of them failed by


@dataclass(frozen=True)
class PieceResult(TaskResult):
    """What came of a task that makes a piece; `output` is the table of which it will be a part."""

    lost: bool = False  # its recording is excluded: the other pieces need not be made


@dataclass(frozen=True)
class KeptRows:
    """The rows that a selected stage works on, in place of the table of the selecting stage."""

    stage: str
    rows: pa.Table
    output: str


class ShardUpstream:
    """`wavemill.stages.recording_stage.Upstream` of one recording over the files of a shard."""

    def __init__(
        self,
        recording_id: str,
        files: Mapping[str, tuple[TableFile, ...]],
        lineage_id: str,
        kept: KeptRows | None = None,
        piece: Piece | None = None,
    ) -> None:
        """With `piece`, the table by which the stage is divided has the rows of that only."""
        self._recording_id = recording_id
        self._files = files
        self._kept = kept
        self._lineage_id = lineage_id
        self._piece = piece

    @property
    def lineage_id(self) -> str:
        return self._lineage_id

    def table(self, stage: str, columns: list[str] | None = None) -> pa.Table:
        found = self._whole(stage, columns)
        if (piece := self._piece) is not None and piece.stage == stage:
            return found.slice(piece.first, piece.end - piece.first)
        return found

    def _whole(self, stage: str, columns: list[str] | None) -> pa.Table:
        if self._kept is not None and self._kept.stage == stage:
            mine = self._kept.rows.filter(pc.field("recording_id") == self._recording_id)
            return mine.select(columns) if columns else mine
        return pa.Table.from_batches(
            list(self._batches(stage, columns)), schema=self._schema(stage, columns)
        )

    def batches(
        self, stage: str, columns: list[str] | None = None, between: tuple[int, int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        if self._piece is not None and self._piece.stage == stage:
            yield from self.table(stage, columns).to_batches()
        else:
            yield from self._batches(stage, columns, between)

    def _batches(
        self, stage: str, columns: list[str] | None, between: tuple[int, int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        for file in self._files[stage]:
            yield from file.rows(self._recording_id, columns, between)

    def _schema(self, stage: str, columns: list[str] | None) -> pa.Schema:
        schema = self._files[stage][0].schema
        return schema if columns is None else pa.schema([schema.field(name) for name in columns])


OnRecording = Callable[[str, int], None]  # recording_id, duration_ms
OnProgress = Callable[[int], None]  # how far into that recording its rows are, ms


class _HalfRead(Exception):
    """A recording became another one while its rows were made: none of them may stay."""

    def __init__(self, recording_id: str, error: RecordingError) -> None:
        super().__init__(error.message)
        self.cause = error.reason, error.message
        self.excluded = {recording_id: self.cause}


def run_task(
    task: Task,
    stage: ConfiguredStage,
    function: RecordingStage,
    store: Store,
    on_recording: OnRecording | None = None,
    on_progress: OnProgress | None = None,
) -> TaskResult:
    """Run `function` over the task's recordings and write its table, and its errors if any.

    A recording that fails here becomes a row of `<output>.errors.parquet`; one that failed in a
    stage before is skipped. Rows that a failing recording had yielded already stay in the table
    and are skipped by everything after, since errors come first. A table that is there already
    (of a run that died before it could remember it) is taken, if it is whole. What is read must be
    what the ledger has recorded, else WorkdirDamaged is raised. `on_recording` is called
    right before each recording, `on_progress` after rows that say a time in it. A recording whose
    source was no longer to be read after it had yielded rows leaves none: the table is made anew
    without it.

    A task of a piece writes the file of the piece, with the errors in it, and returns a
    PieceResult; a task with pieces takes their rows and errors, and deletes them at the end.
    """
    if task.piece is not None:
        return _make_piece(task, task.piece, stage, function, store, on_recording)
    while True:
        try:
            result = _attempt(task, stage, function, store, on_recording, on_progress)
        except _HalfRead as half:
            task = replace(task, excluded={**task.excluded, **half.excluded})
            continue
        for piece in task.pieces:
            store.delete(piece.key)
        return result


def _attempt(
    task: Task,
    stage: ConfiguredStage,
    function: RecordingStage,
    store: Store,
    on_recording: OnRecording | None,
    on_progress: OnProgress | None,
) -> TaskResult:
    kept = selected_rows(task, stage, store) if stage.selected_by else None
    output = task.output if kept is None else kept.output
    if (done := _taken(task, output, store)) is not None:
        return done
    started, started_cpu = time.perf_counter(), _cpu_seconds()
    failed = failed_before(task, store)
    errors: list[ErrorRow] = []
    faults: list[str | None] = []
    made = _outcomes(task, store)
    with _open_inputs(task, stage, store) as files, store.replacing(table_key(output)) as path:
        writer = _Writer(TableWriter(path, stage.schema), task.selects, on_progress)
        for recording in task.recordings:
            if recording.recording_id in failed:
                continue
            if (excluded := task.excluded.get(recording.recording_id)) is not None:
                errors.append(_failed_in(stage.name, recording, *excluded))
                continue
            if (parts := made.get(recording.recording_id)) is not None:
                faults.extend(_join(recording, parts, writer, errors, store))
                continue
            if on_recording is not None:
                on_recording(recording.recording_id, recording.duration_ms)
            upstream = ShardUpstream(recording.recording_id, files, lineage_of(output), kept)
            fault = _one_recording(stage, function, recording, upstream, writer, errors)
            faults.append(fault)
        result = TaskResult(
            stage=task.stage,
            shard_id=task.shard_id,
            stem=task.output,
            output=output,
            rows=writer.table.rows,
            errors=len(errors),
            audio_ms=sum(r.duration_ms for r in task.recordings),
            seconds=time.perf_counter() - started + _sum(made, "seconds"),
            cpu_seconds=_cpu_seconds() - started_cpu + _sum(made, "cpu_seconds"),
            kept=kept_digest(writer.kept_ids) if task.selects else None,
            tried=len(faults),
            fault=faults[0] if len(set(faults)) == 1 else None,
        )
        writer.table.close({**task.metadata, TASK_RESULT: json.dumps(asdict(result))})
        _write_errors(errors_key(output), errors, store)
        return _measured(result, store, path)


_Made = dict[str, list[tuple[Piece, PieceOutcome]]]  # by recording


def _outcomes(task: Task, store: Store) -> _Made:
    """Return what came of the pieces that were made before. Raises WorkdirDamaged."""
    found: _Made = {}
    for piece in task.pieces:
        outcome = read_outcome(store, piece.key)
        if outcome is None:
            raise store.damaged(piece.key, "a part of a table, is missing or damaged")
        found.setdefault(piece.recording_id, []).append((piece, outcome))
    return found


def _sum(made: _Made, what: str) -> float:
    return sum(getattr(outcome, what) for parts in made.values() for _, outcome in parts)


def _join(
    recording: Recording,
    parts: list[tuple[Piece, PieceOutcome]],
    writer: _Writer,
    errors: list[ErrorRow],
    store: Store,
) -> list[str | None]:
    """Write what one worker would have written of a recording: up to its failure, if any.

    Returns the program's fault that it failed by, if it was tried.
    """
    lost = next((outcome.failure for _, outcome in parts if outcome.lost), None)
    if lost is not None:
        errors.append(lost)
        return []
    rows = 0
    for piece, outcome in parts:
        failure = outcome.failure
        if failure is not None and failure["reason"] in PASSING_REASONS and rows + outcome.rows:
            error = RecordingError(str(failure["reason"]), str(failure["message"]))
            raise _HalfRead(recording.recording_id, error)
        for batch in read_piece(store, piece):
            writer.write(batch)
        rows += outcome.rows
        errors.extend(outcome.errors)
        if failure is not None:
            return [outcome.fault]
    return [None]


def _make_piece(
    task: Task,
    piece: Piece,
    stage: ConfiguredStage,
    function: RecordingStage,
    store: Store,
    on_recording: OnRecording | None,
) -> PieceResult:
    """Make a piece, unless a run that died has; whatever comes of it stands in its file."""
    if (done := _piece_taken(piece, store)) is not None:
        return _piece_result(task, piece, done)
    (recording,) = task.recordings
    kept = selected_rows(task, stage, store) if stage.selected_by else None
    started, started_cpu = time.perf_counter(), _cpu_seconds()
    errors: list[ErrorRow] = []
    fault = None
    excluded = task.excluded.get(piece.recording_id)
    output = task.output if kept is None else kept.output
    with _open_inputs(task, stage, store) as files, store.replacing(piece.key) as path:
        # A row group for each batch: the table gets the same batches as if one worker made it.
        writer = _Writer(TableWriter(path, stage.schema, row_group_bytes=0), selects=False)
        if excluded is not None:
            errors.append(_failed_in(stage.name, recording, *excluded))
        else:
            if on_recording is not None:
                on_recording(piece.recording_id, piece.audio_ms)
            lineage = lineage_of(output)
            upstream = ShardUpstream(piece.recording_id, files, lineage, kept, piece)
            try:
                fault = _one_recording(stage, function, recording, upstream, writer, errors)
            except _HalfRead as half:
                errors.append(_failed_in(stage.name, recording, *half.cause))
        outcome = PieceOutcome(
            errors=errors,
            rows=writer.table.rows,
            fault=fault,
            lost=excluded is not None,
            seconds=time.perf_counter() - started,
            cpu_seconds=_cpu_seconds() - started_cpu,
        )
        writer.table.close(outcome_metadata(outcome))
    return _piece_result(task, piece, outcome)


def _piece_taken(piece: Piece, store: Store) -> PieceOutcome | None:
    outcome = read_outcome(store, piece.key)
    try:
        return outcome if outcome is None or store.read_table(piece.key) is not None else None
    except WorkdirDamaged:
        return None


def _piece_result(task: Task, piece: Piece, outcome: PieceOutcome) -> PieceResult:
    return PieceResult(
        stage=task.stage,
        shard_id=task.shard_id,
        stem=task.output,
        output=task.output,
        rows=outcome.rows,
        errors=len(outcome.errors),
        audio_ms=piece.audio_ms,
        seconds=outcome.seconds,
        cpu_seconds=outcome.cpu_seconds,
        kept=None,
        fault=outcome.fault,
        lost=outcome.lost,
    )


class _Writer:
    """A table's writer that also notes which rows are kept, where another stage asks for it."""

    def __init__(
        self, table: TableWriter, selects: bool, on_progress: OnProgress | None = None
    ) -> None:
        self.table = table
        self.kept_ids: list[str] = []
        self._selects = selects
        self._on_progress = on_progress if "end_ms" in table.schema.names else None

    def write(self, batch: pa.RecordBatch) -> None:
        self.table.write(batch)
        if self._selects:
            self.kept_ids.extend(batch.filter(batch["kept"])["segment_id"].to_pylist())
        if self._on_progress is not None and batch.num_rows:
            self._on_progress(pc.max(batch["end_ms"]).as_py())


def needs_function(task: Task, stage: ConfiguredStage, store: Store) -> bool:
    """Whether a task has rows to make.

    All may be in pieces that were made before, and for a selected one nothing new may be kept.
    """
    if task.pieces and {p.recording_id for p in task.pieces}.issuperset(
        recording.recording_id for recording in task.recordings
    ):
        return False
    return not stage.selected_by or selected_rows(task, stage, store).rows.num_rows > 0


def lineage_of(output: str) -> str:
    """Return the key into the lineage table of the rows of an output."""
    return digest_of(output)


def failed_before(task: Task, store: Store) -> set[str]:
    """Return the ids of the recordings that failed in the stages before."""
    failed: set[str] = set()
    for output in task.with_errors:
        failed |= failed_in(as_errors(_read(task, errors_key(output), store)))
    return failed


def failed_in(errors: pa.Table) -> set[str]:
    """Return the ids of the recordings that failed, by a table of ERRORS_SCHEMA.

    Of which only a span cannot be used has not failed.
    """
    return set(errors.filter(errors["start_ms"].is_null())["recording_id"].to_pylist())


def read_errors(store: Store, key: str) -> pa.Table:
    """Read a table of errors."""
    return as_errors(store.read_table(key))


def _read(task: Task, key: str, store: Store, columns: list[str] | None = None) -> pa.Table:
    """Read a table that is what the ledger says. Raises WorkdirDamaged."""
    _check(task, key, store)
    return store.read_table(key, columns)


def _check(task: Task, key: str, store: Store) -> None:
    if (recorded := task.recorded.get(key)) is not None:
        store.check(key, recorded)


def kept_digest(segment_ids: Iterable[str]) -> str:
    """Return the digest of the ids that a verdict keeps."""
    return digest_of_lines(sorted(segment_ids), 12)


@contextmanager
def _open_inputs(
    task: Task, stage: ConfiguredStage, store: Store
) -> Iterator[dict[str, tuple[TableFile, ...]]]:
    for name in stage.inputs:
        for key in task.inputs[name]:
            _check(task, table_key(key), store)
    with ExitStack() as stack:
        yield {
            name: tuple(
                stack.enter_context(closing(store.open_table(table_key(key))))
                for key in task.inputs[name]
            )
            for name in stage.inputs
        }


def _one_recording(
    stage: ConfiguredStage,
    function: RecordingStage,
    recording: Recording,
    upstream: ShardUpstream,
    writer: _Writer,
    errors: list[ErrorRow],
) -> str | None:
    """Run a stage on a recording; return the program's fault that it failed by, if any."""
    batches, rows = function(recording, upstream), 0
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return None
        except RecordingError as error:
            if rows and error.reason in PASSING_REASONS:
                raise _HalfRead(recording.recording_id, error) from None
            errors.append(_failed_in(stage.name, recording, error.reason, error.message))
            return None
        except (MemoryError, WorkdirDamaged):
            raise  # the machine's trouble, not the recording's: the next run continues here
        except Exception as error:
            if isinstance(error, OSError) and error.errno in NO_SPACE:
                raise  # likewise
            message = f"{type(error).__name__}: {error}"
            errors.append(_failed_in(stage.name, recording, UNEXPECTED, message))
            return fault_of(error)
        if isinstance(batch, SpanError):
            span = batch.start_ms, batch.end_ms
            errors.append(_failed_in(stage.name, recording, batch.reason, batch.message, span))
            continue
        writer.write(batch)  # outside: a full disk is not the recording's fault either
        rows += batch.num_rows


def selected_rows(task: Task, stage: ConfiguredStage, store: Store) -> KeptRows:
    """Find which kept rows no earlier output of this stage holds."""
    assert stage.selected_by is not None
    (verdict,) = task.inputs[stage.selected_by]
    table = _read(task, table_key(verdict), store)
    rows = table.filter(table["kept"])
    done: list[str] = []
    for key in task.written:
        done.extend(_read(task, table_key(key), store, ["segment_id"])["segment_id"].to_pylist())
    missing = pc.invert(pc.is_in(rows["segment_id"], pa.array(done, pa.string())))
    kept = kept_digest(rows["segment_id"].to_pylist())
    output = OutputKey.parse(task.output).with_kept(kept)
    return KeptRows(stage.selected_by, rows.filter(missing), str(output))


def _taken(task: Task, output: str, store: Store) -> TaskResult | None:
    """Return the result of a table that is there already; None where one has to be made.

    What the ledger knows has to be as it says, since its hash is the only witness. Of what it
    does not know, of a run that died, the pages' checksums say whether it is whole.
    """
    key = table_key(output)
    if key in task.recorded:
        _check(task, key, store)
    elif store.facts(key) is not None:
        try:
            store.read_table(key)
        except WorkdirDamaged:
            return None
    return finished_before(output, store)


def finished_before(output: str, store: Store) -> TaskResult | None:
    """Return the result of a whole table that stands under this key already."""
    text = (store.facts(table_key(output)) or {}).get(TASK_RESULT)
    if text is None:
        return None
    known = {f.name for f in fields(TaskResult)}
    found = {name: value for name, value in json.loads(text).items() if name in known}
    return _measured(TaskResult(**found), store, None)


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of the children that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _measured(result: TaskResult, store: Store, path: Path | None) -> TaskResult:
    """Add the size and hashes of the files: of the table at `path`, else of that in the store."""
    key, errors = table_key(result.output), errors_key(result.output)
    return replace(
        result,
        bytes=path.stat().st_size if path else store.size(key),
        sha256=file_sha256(path) if path else store.sha256(key),
        errors_sha256=store.sha256(errors) if result.errors else None,
    )


def error_row(
    stage: str,
    recording_id: str | None,
    source: str,
    reason: str,
    message: str,
    span: tuple[int, int] | tuple[None, None] = (None, None),
) -> ErrorRow:
    """Return a row of ERRORS_SCHEMA; `span` in ms, where only that cannot be used."""
    about = {"stage": stage, "recording_id": recording_id, "source": source, "uri": source}
    return {**about, "reason": reason, "message": message, "start_ms": span[0], "end_ms": span[1]}


def as_errors(table: pa.Table) -> pa.Table:
    """Return a table of errors with ERRORS_SCHEMA; older ones lack `source`, or the spans."""
    if "source" not in table.column_names:
        table = table.append_column("source", table["uri"])
    for column in ERRORS_SCHEMA:
        if column.name not in table.column_names:
            table = table.append_column(column, pa.nulls(table.num_rows, column.type))
    return table.select(ERRORS_SCHEMA.names).cast(ERRORS_SCHEMA)


def _failed_in(
    stage: str,
    recording: Recording,
    reason: str,
    message: str,
    span: tuple[int, int] | tuple[None, None] = (None, None),
) -> ErrorRow:
    return error_row(stage, recording.recording_id, recording.uri, reason, message, span)


def _write_errors(key: str, errors: list[ErrorRow], store: Store) -> None:
    """Write the errors before their table appears; an earlier attempt's are replaced."""
    if errors:
        store.write_table(key, pa.Table.from_pylist(errors, schema=ERRORS_SCHEMA))
    else:
        store.delete(key)
