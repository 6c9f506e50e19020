"""A small build without audio: numbers are drawn, judged and gathered."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from wavemill.manifests.recording import Recording
from wavemill.pipeline.graph import ConfiguredStage, Graph
from wavemill.stages.recording_stage import RecordingError, Upstream

IDS = [pa.field("recording_id", pa.string()), pa.field("segment_id", pa.string())]
NUMBERS = pa.schema([*IDS, pa.field("number", pa.int64())])
VERDICT = pa.schema([*IDS, pa.field("kept", pa.bool_())])


def recording(name: str, duration_ms: int = 60_000, **fields: object) -> Recording:
    """Return a recording whose id is the hash of its name."""
    identity = hashlib.sha256(name.encode()).hexdigest()[:32]
    return Recording(identity, f"{name}.wav", duration_ms, **fields)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Toys:
    """The functions of the stages; each call is noted in `log`."""

    threshold: int
    scale: int
    log: Path | None

    def note(self, stage: str, rec: Recording) -> None:
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(f"{stage} {rec.uri}\n")

    def draw(self, rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        """Four numbers a recording: its id's first bytes. Some names bring trouble."""
        del upstream
        self.note("draw", rec)
        if "kill" in rec.uri:
            os.kill(os.getpid(), 9)
        if "surprise" in rec.uri:
            raise ZeroDivisionError("nobody foresaw this")
        for index, byte in enumerate(bytes.fromhex(rec.recording_id[:8])):
            if "bad" in rec.uri and index == 2:
                raise RecordingError("bad_number", f"{rec.uri} has a bad number")
            yield _numbers(rec, f"{rec.uri}-{index}", byte * self.scale)

    def judge(self, rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        self.note("verdict", rec)
        drawn = upstream.table("draw")
        kept = [number >= self.threshold for number in drawn["number"].to_pylist()]
        columns = [drawn["recording_id"], drawn["segment_id"], pa.array(kept, pa.bool_())]
        yield from pa.Table.from_arrays(columns, schema=VERDICT).to_batches()

    def weigh(self, rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        numbers = {r["segment_id"]: r["number"] for r in upstream.table("draw").to_pylist()}
        for row in upstream.table("verdict").to_pylist():
            if row["kept"]:
                self.note("weigh", rec)
                yield _numbers(rec, row["segment_id"], numbers[row["segment_id"]] * 2)

    def gather(self, rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        del rec
        kept = {r["segment_id"] for r in upstream.table("verdict").to_pylist() if r["kept"]}
        rows = [r for r in upstream.table("weigh").to_pylist() if r["segment_id"] in kept]
        yield pa.RecordBatch.from_pylist(rows, schema=NUMBERS)


def _numbers(rec: Recording, segment_id: str, number: int) -> pa.RecordBatch:
    row = {"recording_id": rec.recording_id, "segment_id": segment_id, "number": number}
    return pa.RecordBatch.from_pylist([row], schema=NUMBERS)


def toy_graph(threshold: int = 50, log: Path | None = None, scale: int = 1) -> Graph:
    """draw -> verdict -> weigh (selected by the verdict) -> gather."""
    toys = Toys(threshold, scale, log)
    return Graph(
        [
            ConfiguredStage("draw", 1, (), NUMBERS, {"scale": scale}, lambda _: toys.draw),
            ConfiguredStage(
                "verdict", 1, ("draw",), VERDICT, {"at": threshold}, lambda _: toys.judge
            ),
            ConfiguredStage(
                "weigh", 1, ("draw",), NUMBERS, {}, lambda _: toys.weigh, selected_by="verdict"
            ),
            ConfiguredStage(
                "gather",
                1,
                ("verdict", "weigh"),
                NUMBERS,
                {},
                lambda _: toys.gather,
                reads_labels=True,
                corpus=True,
            ),
        ]
    )
