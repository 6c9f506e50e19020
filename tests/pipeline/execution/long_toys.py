"""Toy stages on long recordings: numbers are drawn, and worked on in pieces."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.pipeline.toys import NUMBERS
from wavemill.manifests.recording import Recording
from wavemill.manifests.table import recordings_table
from wavemill.pipeline.catalogue import Catalogue
from wavemill.pipeline.graph import ConfiguredStage, Graph
from wavemill.pipeline.ledger import Ledger
from wavemill.pipeline.output_key import errors_key, table_key
from wavemill.pipeline.plan import Plan
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import TaskResult, read_errors
from wavemill.stages.recording_stage import (
    Division,
    RecordingError,
    RecordingStage,
    SpanError,
    Upstream,
)

KEPT = pa.schema([*NUMBERS, pa.field("kept", pa.bool_())])
AT_ONCE = 3  # rows in a batch of `treble`
Trouble = Callable[[Recording, int], "SpanError | None"]  # at a number; may raise


def no_trouble(rec: Recording, number: int) -> SpanError | None:
    del rec, number
    return None


def raising(reason: str, rec: Recording, number: int) -> SpanError | None:
    """Trouble at number 17 of recordings whose name begins with "bad"."""
    if rec.uri.startswith("bad") and number == 17:
        if reason == "span":
            return SpanError("damaged", "a span is lost", 17, 18)
        if reason == "unforeseen":
            raise ZeroDivisionError("nobody foresaw this")
        if reason == "abort":
            os.abort()
        raise RecordingError(reason, "so it is")
    return None


@dataclass(frozen=True)
class LongToys:
    """The functions of the stages."""

    log: Path | None
    trouble: Trouble
    rows: int
    die_at: int | None

    def note(self, stage: str, rec: Recording, number: int) -> None:
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(f"{stage} {rec.uri} {number}\n")

    def draw(self, rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        del upstream
        yield _rows(rec, range(self.rows))

    def treble(self, rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch | SpanError]:
        numbers = [row["number"] for row in upstream.table("draw").to_pylist()]
        for first in range(0, len(numbers), AT_ONCE):
            some = numbers[first : first + AT_ONCE]
            for number in some:
                self.note("treble", rec, number)
                if number == self.die_at:
                    raise MemoryError
                if (span := self.trouble(rec, number)) is not None:
                    yield span
            # The sum over a batch: rows depend on where batches are cut.
            yield _rows(rec, some, sum(some))

    def quarter(self, rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        for row in upstream.table("draw").to_pylist():
            self.note("quarter", rec, row["number"])
            yield _rows(rec, [row["number"]])

    def judge(self, rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        del rec
        for row in upstream.table("quarter").to_pylist():
            kept = {**row, "kept": row["number"] % 3 != 0}
            yield pa.RecordBatch.from_pylist([kept], schema=KEPT)

    def weigh(self, rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        for row in upstream.table("judge").to_pylist():
            if row["kept"]:
                self.note("weigh", rec, row["number"])
                yield _rows(rec, [row["number"]])

    def gather(self, rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        del rec
        for stage in ("treble", "weigh"):
            yield from upstream.table(stage).to_batches()


def long_graph(
    log: Path | None = None,
    trouble: Trouble = no_trouble,
    rows: int = 40,
    die_at: int | None = None,
) -> Graph:
    """draw -> treble (by rows of draw), quarter (likewise) -> judge -> weigh (by judge) -> gather.

    `die_at`: the number at which `treble` ends the run, as a full memory does.
    """
    toys = LongToys(log, trouble, rows, die_at)
    by_threes, by_rows = Division("draw", AT_ONCE), Division("draw")
    return Graph(
        [
            _stage("draw", (), toys.draw),
            _stage("treble", ("draw",), toys.treble, division=by_threes),
            _stage("quarter", ("draw",), toys.quarter, division=by_rows),
            _stage("judge", ("quarter",), toys.judge, schema=KEPT),
            _stage(
                "weigh", ("draw",), toys.weigh, selected_by="judge", division=Division("judge", 2)
            ),
            _stage("gather", ("treble", "weigh"), toys.gather, corpus=True),
        ]
    )


def _stage(
    name: str,
    inputs: tuple[str, ...],
    function: RecordingStage,
    schema: pa.Schema = NUMBERS,
    **more: Any,
) -> ConfiguredStage:
    return ConfiguredStage(name, 1, inputs, schema, {}, lambda _: function, **more)


def _rows(rec: Recording, numbers: range | list[int], added: int = 0) -> pa.RecordBatch:
    rows = [
        {
            "recording_id": rec.recording_id,
            "segment_id": f"{rec.uri}-{number}",
            "number": number + added,
        }
        for number in numbers
    ]
    return pa.RecordBatch.from_pylist(rows, schema=NUMBERS)


def plan_of(store: Store, graph: Graph, recordings: list[Recording], shard_seconds: int) -> Plan:
    ordered = sorted(recordings, key=lambda r: r.recording_id)
    catalogue = Catalogue(store, recordings_table(ordered), shard_seconds)
    catalogue.save()
    return Plan(graph, catalogue, Ledger(store))


def made(store: Store, results: list[TaskResult]) -> dict[str, object]:
    """Return what each output holds: its batches, its errors, and what its result says."""
    found: dict[str, object] = {}
    for result in results:
        with closing(store.open_table(table_key(result.output))) as file:
            schema = file.schema.remove_metadata()
        rows = store.read_table(table_key(result.output)).to_pylist()
        errors = read_errors(store, errors_key(result.output)).to_pylist() if result.errors else []
        about = result.rows, result.errors, result.audio_ms, result.tried, result.fault, result.kept
        found[result.output] = (schema.names, rows, errors, about)
    return found
