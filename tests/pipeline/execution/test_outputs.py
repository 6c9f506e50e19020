"""Outputs that may be the program's fault, and no property of the recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from tests.pipeline.test_build_core import ToyBuild
from tests.pipeline.toys import recording, toy_graph
from wavemill.manifests.faults import ProgramFault
from wavemill.manifests.recording import Recording
from wavemill.pipeline.execution.events import TaskDone
from wavemill.pipeline.execution.inline import run_inline
from wavemill.pipeline.execution.outputs import Outputs
from wavemill.pipeline.graph import Graph
from wavemill.pipeline.output_key import table_key
from wavemill.pipeline.task import failed_in
from wavemill.stages.recording_stage import RecordingStage, Upstream

HEALTHY = [recording(f"r{number}") for number in range(6)]


def broken(stage: str, names: str = "") -> Callable[[], Graph]:
    """Make the toy graph with a stage that meets a fault in recordings of such names."""

    def make() -> Graph:
        graph = toy_graph()
        whole = graph.stages[stage].build

        def build(device: str) -> RecordingStage:
            function = whole(device)

            def fails(rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
                if names in rec.uri:
                    raise TypeError("encode() got an unexpected keyword argument")
                yield from function(rec, upstream)

            return fails

        stages = [replace(s, build=build) if s.name == stage else s for s in graph.stages.values()]
        return Graph(stages)

    return make


def execute(work: ToyBuild, make: Callable[[], Graph], recordings: list[Recording]) -> list[str]:
    """Do what `wavemill.pipeline.build.execute` does; return the stages that ran."""
    plan, ran = work.plan(recordings, make()), []
    plan.catalogue.save()
    outputs = Outputs(work.store, plan.ledger)
    for event in run_inline(plan, make, work.store):
        if isinstance(event, TaskDone):
            outputs.add(event.result, 0.0)
            ran.append(event.result.stage)
    outputs.end()
    plan.ledger.flush()
    return ran


@pytest.mark.parametrize("stage", ["draw", "weigh"])
def test_what_everything_meets_stops_the_run_and_leaves_nothing(tmp_path: Path, stage: str) -> None:
    work = ToyBuild(tmp_path)
    with pytest.raises(ProgramFault, match=rf"{stage} failed for all of \d+ .*TypeError: encode"):
        execute(work, broken(stage), HEALTHY)
    left = {path.relative_to(tmp_path / "work" / "stages").parts[0] for path in
            (tmp_path / "work" / "stages").rglob("*.parquet")}  # fmt: skip
    assert left == (set() if stage == "draw" else {"draw", "verdict"})
    execute(work, toy_graph, HEALTHY)  # the fault is mended: everything is made
    plan = work.plan(HEALTHY, toy_graph())
    assert not plan.pending
    rows = sum(row["rows"] for row in plan.outputs().to_pylist() if row["stage"] == "gather")
    assert rows > 0
    assert not any(row["errors"] for row in plan.outputs().to_pylist())


def test_a_strange_recording_is_a_row_and_stays_one(tmp_path: Path) -> None:
    work = ToyBuild(tmp_path)
    recordings = [*HEALTHY, recording("strange")]
    execute(work, broken("draw", "strange"), recordings)
    plan = work.plan(recordings, toy_graph())
    assert not plan.pending
    assert failed_in(plan.errors(work.store)) == {recordings[-1].recording_id}


def test_a_run_that_died_before_it_knew_is_found_out_by_the_next(tmp_path: Path) -> None:
    work = ToyBuild(tmp_path)
    make = broken("draw")
    plan = work.plan(HEALTHY, make())
    plan.catalogue.save()
    for event in run_inline(plan, make, work.store):
        if isinstance(event, TaskDone):
            break  # killed: the table stands, the ledger does not know it
    assert work.store.exists(table_key(event.result.output))
    with pytest.raises(ProgramFault):
        execute(work, make, HEALTHY)
    assert not work.store.exists(table_key(event.result.output))
