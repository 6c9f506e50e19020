"""Toy stages that crash, hang, fill the memory: by the name of the recording."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from tests.pipeline.toys import NUMBERS
from wavemill.manifests.recording import Recording
from wavemill.manifests.table import recordings_table
from wavemill.pipeline.catalogue import Catalogue
from wavemill.pipeline.execution.events import Event, ShardDone, ShardFailed, TaskDone
from wavemill.pipeline.execution.faults import TaskFailed
from wavemill.pipeline.execution.inline import run_inline
from wavemill.pipeline.execution.supervisor import Supervisor
from wavemill.pipeline.graph import ConfiguredStage, Graph
from wavemill.pipeline.ledger import Ledger
from wavemill.pipeline.plan import Plan
from wavemill.pipeline.snapshots import write_snapshot
from wavemill.pipeline.store import Store
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.recording_stage import RecordingError, RecordingStage, Upstream


def _hoard() -> None:
    held: list[np.ndarray] = []
    while True:
        held.append(np.ones(1 << 20))  # 8 MB


def _spin() -> None:
    while True:
        time.sleep(0.01)  # other tests want the processor; "native" takes all of it


def _raise(error: BaseException) -> None:
    raise error


# Start of a recording's name -> (reason, part of the message), and what happens.
TROUBLES: dict[str, tuple[str, str, Callable[[], object]]] = {
    "abort": ("worker_crashed", "SIGABRT", os.abort),
    "exit": ("worker_crashed", "code 3", lambda: os._exit(3)),
    "gone": ("worker_crashed", "code 1", lambda: _raise(SystemExit("told to go"))),
    "killed": ("worker_crashed", "SIGKILL", lambda: os.kill(os.getpid(), 9)),
    "spin": ("timed_out", "longer than 1 s", _spin),
    "native": ("timed_out", "longer than 1 s", lambda: re.match("(a+)+$", "a" * 64 + "b")),
    "hoard": ("out_of_memory", "0.6 GB", _hoard),
    "huge": ("out_of_memory", "more memory", lambda: np.ones(1 << 50)),
    "raise": ("unexpected_error", "nobody foresaw", lambda: _raise(ValueError("nobody foresaw"))),
    "bad": ("bad_number", "is bad", lambda: _raise(RecordingError("bad_number", "it is bad"))),
}


def trouble_graph(pause_s: float = 0.0, log: Path | None = None, load: str = "") -> Graph:
    """draw -> double -> gather; `load` says what happens when `draw` is loaded."""

    def build(_: str) -> RecordingStage:
        if load == "unavailable":
            raise EngineUnavailable("engine 'toy' is not there")
        if load:
            TROUBLES[load][2]()
        return draw

    def draw(rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        del upstream
        if log is not None:
            with log.open("a", encoding="utf-8") as file:
                file.write(f"{os.getpid()} {rec.uri}\n")
        print("a library that writes to standard output")
        name = rec.uri.split(".")[0].rstrip("0123456789")
        yield _row(rec, 0)
        time.sleep(pause_s)
        if name in TROUBLES:
            TROUBLES[name][2]()
        if name == "misfit":
            yield pa.RecordBatch.from_pydict({"other": ["a column"]})
        yield _row(rec, 1)

    stages = [
        ConfiguredStage("draw", 1, (), NUMBERS, {}, build),
        ConfiguredStage("double", 1, ("draw",), NUMBERS, {}, lambda _: _double),
        ConfiguredStage("gather", 1, ("double",), NUMBERS, {}, lambda _: _gather, corpus=True),
    ]
    return Graph(stages)


def _row(rec: Recording, index: int) -> pa.RecordBatch:
    row = {"recording_id": rec.recording_id, "segment_id": f"{rec.uri}-{index}", "number": index}
    return pa.RecordBatch.from_pylist([row], schema=NUMBERS)


def _double(rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
    del rec
    for row in upstream.table("draw").to_pylist():
        yield pa.RecordBatch.from_pylist([{**row, "number": 2 * row["number"]}], schema=NUMBERS)


def _gather(rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
    del rec
    yield from upstream.table("double").to_batches()


class TroubleBuild:
    """A WORKDIR with these stages."""

    def __init__(self, root: Path, graph: Callable[[], Graph] = trouble_graph) -> None:
        root.mkdir(exist_ok=True)
        self.graph = graph
        self.store = Store.open(root / "work")

    def plan(self, recordings: list[Recording], shard_seconds: int = 240) -> Plan:
        ordered = sorted(recordings, key=lambda r: r.recording_id)
        catalogue = Catalogue(self.store, recordings_table(ordered), shard_seconds)
        catalogue.save()
        return Plan(self.graph(), catalogue, Ledger(self.store))

    def finish(self, plan: Plan, events: Iterable[Event]) -> list[Event]:
        """Run to the end and publish; returns the events."""
        seen = []
        for event in events:
            if isinstance(event, TaskDone):
                plan.ledger.add(event.result)
            seen.append(event)
        if not any(isinstance(event, ShardFailed) for event in seen):
            write_snapshot(self.store, plan, [], {}, "0")
        return seen

    def inline(self, recordings: list[Recording]) -> TroubleBuild:
        plan = self.plan(recordings)
        self.finish(plan, run_inline(plan, self.graph, self.store))
        return self

    def rows(self) -> list[dict[str, object]]:
        """Return the corpus, sorted."""
        rows = pq.read_table(self.store.path("corpus/gather")).to_pylist()
        return sorted(rows, key=lambda row: row["segment_id"])

    def errors(self) -> dict[str, tuple[str, str]]:
        """Return name -> (reason, message); each recording must be there once."""
        rows = pq.read_table(self.store.path("corpus/errors.parquet")).to_pylist()
        found = {r["uri"].split(".")[0]: (r["reason"], r["message"]) for r in rows}
        assert len(found) == len(rows)
        return found


def run_supervised(plan: Plan, supervisor: Supervisor) -> Iterator[Event]:
    """Like `run_inline`, but with a child that may die."""
    for shard in plan.unfinished():
        while (task := shard.next_task()) is not None:
            try:
                report = supervisor.run(task)
            except TaskFailed as error:
                yield ShardFailed(task.shard_id, task.stage, str(error))
                break
            shard.finish(report)
            yield TaskDone(report)
        else:
            yield ShardDone(shard.shard.shard_id)


def pids_in(log: Path) -> list[int]:
    """Return the processes that have drawn, the newest last."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return [int(line.split()[0]) for line in lines]


def wait_until(true: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Return as soon as a condition holds; false if it does not even on a busy machine."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_gone(pid: int) -> bool:
    """Whether a process does not run any more (a zombie does not)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def no_child_left() -> Iterator[None]:
    """Fail if a process that was started in the block is still there soon after it."""
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    yield

    def none() -> bool:
        after = psutil.Process().children(recursive=True)
        return all(is_gone(p.pid) for p in after if p.pid not in before)

    assert wait_until(none), [p.cmdline() for p in psutil.Process().children(recursive=True)]


def program(code: str) -> list[str]:
    """Return a command that runs Python code with these tests importable."""
    return [sys.executable, "-c", code]
