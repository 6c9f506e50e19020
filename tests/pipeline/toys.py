"""A small build without audio: numbers are drawn, judged and gathered, in milliseconds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from manifests.recording import Recording
from pipeline.graph import Graph, Stage
from stages.recording_stage import RecordingError, Upstream

NUMBERS = pa.schema(
    [
        pa.field("recording_id", pa.string()),
        pa.field("segment_id", pa.string()),
        pa.field("number", pa.int64()),
    ]
)
VERDICT = pa.schema(
    [
        pa.field("recording_id", pa.string()),
        pa.field("segment_id", pa.string()),
        pa.field("kept", pa.bool_()),
    ]
)


def recording(name: str, duration_ms: int = 60_000, **fields: object) -> Recording:
    """Return a recording whose id is the hash of its name."""
    identity = hashlib.sha256(name.encode()).hexdigest()[:32]
    return Recording(identity, f"{name}.wav", duration_ms, **fields)  # type: ignore[arg-type]


def toy_graph(threshold: int = 50, log: Path | None = None, scale: int = 1) -> Graph:
    """draw -> verdict -> weigh (covers what is kept) -> gather; every call is noted in `log`."""

    def note(stage: str, rec: Recording) -> None:
        if log is not None:
            with log.open("a") as file:
                file.write(f"{stage} {rec.uri}\n")

    def draw(rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        del upstream
        note("draw", rec)
        if "kill" in rec.uri:
            os.kill(os.getpid(), 9)
        if "surprise" in rec.uri:
            raise ZeroDivisionError("nobody foresaw this")
        for index, byte in enumerate(bytes.fromhex(rec.recording_id[:8])):
            if "bad" in rec.uri and index == 2:
                raise RecordingError("bad_number", f"{rec.uri} has a bad number")
            row = {"recording_id": rec.recording_id, "segment_id": f"{rec.uri}-{index}"}
            yield pa.RecordBatch.from_pylist([row | {"number": byte * scale}], schema=NUMBERS)

    def judge(rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        note("verdict", rec)
        rows = [
            {
                "recording_id": rec.recording_id,
                "segment_id": row["segment_id"],
                "kept": row["number"] >= threshold,
            }
            for row in upstream.table("draw").to_pylist()
        ]
        yield pa.RecordBatch.from_pylist(rows, schema=VERDICT)

    def weigh(rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        numbers = {r["segment_id"]: r["number"] for r in upstream.table("draw").to_pylist()}
        for row in upstream.table("verdict").to_pylist():
            if row["kept"]:
                note("weigh", rec)
                yield pa.RecordBatch.from_pylist(
                    [
                        {
                            "recording_id": rec.recording_id,
                            "segment_id": row["segment_id"],
                            "number": numbers[row["segment_id"]] * 2,
                        }
                    ],
                    schema=NUMBERS,
                )

    def gather(rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        kept = {r["segment_id"] for r in upstream.table("verdict").to_pylist() if r["kept"]}
        rows = [r for r in upstream.table("weigh").to_pylist() if r["segment_id"] in kept]
        yield pa.RecordBatch.from_pylist(rows, schema=NUMBERS)

    return Graph(
        [
            Stage("draw", 1, (), NUMBERS, {"scale": scale}, lambda _: draw),
            Stage("verdict", 1, ("draw",), VERDICT, {"threshold": threshold}, lambda _: judge),
            Stage("weigh", 1, ("draw",), NUMBERS, {}, lambda _: weigh, covers="verdict"),
            Stage("gather", 1, ("verdict", "weigh"), NUMBERS, {}, lambda _: gather, True),
        ]
    )
