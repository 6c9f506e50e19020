"""One stage on one shard: the work, done the same way in a worker or in this process."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.recording import Recording
from pipeline.digest import digest_of, digest_of_lines
from pipeline.graph import Stage
from pipeline.store import Store, TableFile, TableWriter
from stages.recording_stage import RecordingError, RecordingStage

ERRORS_SCHEMA = pa.schema(
    [
        pa.field("stage", pa.string(), False, {"description": "stage that gave up"}),
        pa.field(
            "recording_id", pa.string(), True, {"description": "null: no recording could be read"}
        ),
        pa.field("uri", pa.string(), False, {"description": "where the recording came from"}),
        pa.field("reason", pa.string(), False, {"description": "stable snake_case name"}),
        pa.field("message", pa.string(), False, {"description": "what happened, for a person"}),
    ]
)
UNEXPECTED = "unexpected_error"  # reason of an exception that no stage foresaw


@dataclass(frozen=True)
class Task:
    """Descriptor of the work; small, since it travels to workers."""

    stage: str
    shard_id: str
    recordings: tuple[Recording, ...]
    output: str  # key of the table, without `.parquet`
    inputs: Mapping[str, tuple[str, ...]]  # stage -> keys of its tables, for all ancestors
    covered: tuple[str, ...] = ()  # for a covering stage: keys of what it wrote before
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskReport:
    """What came of a task."""

    stage: str
    shard_id: str
    output: str  # key of the table that now exists
    rows: int
    errors: int
    seconds: float  # of wall time
    cpu_seconds: float
    audio_ms: int


@dataclass(frozen=True)
class KeptRows:
    """The rows that a covering stage works on, in place of the table of the stage it covers."""

    stage: str
    rows: pa.Table
    output: str


class ShardUpstream:
    """`stages.recording_stage.Upstream` of one recording over the files of a shard."""

    def __init__(
        self,
        recording_id: str,
        files: Mapping[str, tuple[TableFile, ...]],
        lineage_id: str,
        kept: KeptRows | None = None,
    ) -> None:
        self._recording_id = recording_id
        self._files = files
        self._kept = kept
        self._lineage_id = lineage_id

    @property
    def lineage_id(self) -> str:
        return self._lineage_id

    def table(self, stage: str, columns: list[str] | None = None) -> pa.Table:
        if self._kept is not None and self._kept.stage == stage:
            mine = self._kept.rows.filter(pc.field("recording_id") == self._recording_id)
            return mine.select(columns) if columns else mine
        return pa.Table.from_batches(
            list(self.batches(stage, columns)), schema=self._schema(stage, columns)
        )

    def batches(
        self, stage: str, columns: list[str] | None = None, between: tuple[int, int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        for file in self._files[stage]:
            yield from file.rows(self._recording_id, columns, between)

    def _schema(self, stage: str, columns: list[str] | None) -> pa.Schema:
        schema = self._files[stage][0].schema
        return schema if columns is None else pa.schema([schema.field(name) for name in columns])


def run_task(task: Task, stage: Stage, function: RecordingStage, store: Store) -> TaskReport:
    """Run `function` over the task's recordings and write its table, and its errors if any.

    A recording that fails here becomes a row of `<output>.errors.parquet`; one that failed in a
    stage before is skipped. Rows that a failing recording had yielded already stay in the table
    and are skipped by everything after, since errors come first.
    """
    started, started_cpu = time.perf_counter(), time.process_time()
    failed = failed_recordings(store, [key for keys in task.inputs.values() for key in keys])
    with _open_inputs(task, stage, store) as files:
        kept = _rows_to_cover(task, stage, store) if stage.covers else None
        output = task.output if kept is None else kept.output
        if kept is not None and store.exists(table_key(output)):  # nothing new to cover
            return TaskReport(task.stage, task.shard_id, output, 0, 0, 0.0, 0.0, 0)
        errors: list[dict[str, str]] = []
        with store.replacing(table_key(output)) as path:
            writer = TableWriter(path, stage.schema)
            for recording in task.recordings:
                if recording.recording_id not in failed:
                    upstream = ShardUpstream(
                        recording.recording_id, files, lineage_of(output), kept
                    )
                    _one_recording(stage, function, recording, upstream, writer, errors)
            report = TaskReport(
                task.stage,
                task.shard_id,
                output,
                writer.rows,
                len(errors),
                time.perf_counter() - started,
                time.process_time() - started_cpu,
                sum(r.duration_ms for r in task.recordings),
            )
            writer.close({**task.metadata, **_facts(report)})
            _write_errors(errors_key(output), errors, store)
        return report


def table_key(output: str) -> str:
    return f"{output}.parquet"


def errors_key(output: str) -> str:
    return f"{output}.errors.parquet"


def lineage_of(output: str) -> str:
    """Return the key into the lineage table of the rows of an output."""
    return digest_of(output)


def failed_recordings(store: Store, outputs: Iterable[str]) -> set[str]:
    """Return the ids of recordings that failed in any of these outputs."""
    failed: set[str] = set()
    for output in outputs:
        if store.exists(errors_key(output)):
            table = pq.read_table(store.path(errors_key(output)), columns=["recording_id"])
            failed.update(table["recording_id"].to_pylist())
    return failed


def kept_rows(store: Store, verdict: str, recording_ids: Iterable[str]) -> pa.Table:
    """Return the rows that a verdict output keeps, of these recordings."""
    table = pq.read_table(store.path(table_key(verdict)))
    mine = pc.is_in(table["recording_id"], pa.array(list(recording_ids), pa.string()))
    return table.filter(pc.and_(table["kept"], mine))


def covering_output(stem: str, kept: pa.Table) -> str:
    """Return the key of the output that completes what is kept: it names all their ids."""
    return f"{stem}-{digest_of_lines(sorted(kept['segment_id'].to_pylist()), 12)}"


@contextmanager
def _open_inputs(
    task: Task, stage: Stage, store: Store
) -> Iterator[dict[str, tuple[TableFile, ...]]]:
    with ExitStack() as stack:
        yield {
            name: tuple(
                stack.enter_context(closing(TableFile(store.path(table_key(key)))))
                for key in task.inputs[name]
            )
            for name in stage.inputs
        }


def _one_recording(
    stage: Stage,
    function: RecordingStage,
    recording: Recording,
    upstream: ShardUpstream,
    writer: TableWriter,
    errors: list[dict[str, str]],
) -> None:
    batches = function(recording, upstream)
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except RecordingError as error:
            errors.append(_error_row(stage.name, recording, error.reason, error.message))
            return
        except MemoryError:
            raise  # the machine's trouble, not the recording's: the next run continues here
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            errors.append(_error_row(stage.name, recording, UNEXPECTED, message))
            return
        writer.write(batch)  # outside: a full disk is not the recording's fault either


def _rows_to_cover(task: Task, stage: Stage, store: Store) -> KeptRows:
    """Find which kept rows no earlier output of this stage holds."""
    assert stage.covers is not None
    (verdict,) = task.inputs[stage.covers]
    rows = kept_rows(store, verdict, [r.recording_id for r in task.recordings])
    done: list[str] = []
    for key in task.covered:
        table = pq.read_table(store.path(table_key(key)), columns=["segment_id"])
        done.extend(table["segment_id"].to_pylist())
    missing = pc.invert(pc.is_in(rows["segment_id"], pa.array(done, pa.string())))
    return KeptRows(stage.covers, rows.filter(missing), covering_output(task.output, rows))


def _error_row(stage: str, recording: Recording, reason: str, message: str) -> dict[str, str]:
    return {
        "stage": stage,
        "recording_id": recording.recording_id,
        "uri": recording.uri,
        "reason": reason,
        "message": message,
    }


def _write_errors(key: str, errors: list[dict[str, str]], store: Store) -> None:
    """Write the errors before their table appears; an earlier attempt's are replaced."""
    if errors:
        store.write_table(key, pa.Table.from_pylist(errors, schema=ERRORS_SCHEMA))
    else:
        store.path(key).unlink(missing_ok=True)


def _facts(report: TaskReport) -> dict[str, str]:
    """What the file itself remembers of its making; the report's speed table reads it."""
    return {
        "wavemill.stage": report.stage,
        "wavemill.output": report.output,
        "wavemill.rows": str(report.rows),
        "wavemill.errors": str(report.errors),
        "wavemill.seconds": f"{report.seconds:.3f}",
        "wavemill.cpu_seconds": f"{report.cpu_seconds:.3f}",
        "wavemill.audio_ms": str(report.audio_ms),
    }
