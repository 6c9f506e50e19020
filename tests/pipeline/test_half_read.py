"""A recording that changed after it had yielded rows leaves one error row and no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tests.pipeline.toys import NUMBERS, recording
from wavemill.manifests.recording import Recording
from wavemill.manifests.table import recordings_table
from wavemill.pipeline.catalogue import Catalogue
from wavemill.pipeline.execution.events import TaskDone
from wavemill.pipeline.execution.inline import run_inline
from wavemill.pipeline.graph import ConfiguredStage, Graph
from wavemill.pipeline.ledger import Ledger
from wavemill.pipeline.output_key import errors_key, table_key
from wavemill.pipeline.plan import Plan
from wavemill.pipeline.store import Store
from wavemill.stages.recording_stage import PASSING_REASONS, RecordingError, Upstream

SOUND, CHANGING = recording("a"), recording("b")


def graph(reason: str) -> Graph:
    def stage(rec: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        del upstream
        for number in range(3):
            if number == 2 and rec == CHANGING:
                raise RecordingError(reason, "so it is")
            row = {"recording_id": rec.recording_id, "segment_id": "s", "number": number}
            yield pa.RecordBatch.from_pylist([row], schema=NUMBERS)

    return Graph([ConfiguredStage("draw", 1, (), NUMBERS, {}, lambda _: stage, corpus=True)])


def plan_of(store: Store, reason: str, *recordings: Recording) -> Plan:
    table = recordings_table(sorted(recordings, key=lambda r: r.recording_id))
    return Plan(graph(reason), Catalogue(store, table, 3600), Ledger(store))


def run(store: Store, reason: str) -> tuple[Plan, set[str], list[str]]:
    """Return the plan, whose rows there are in the table, and the reasons of the errors."""
    plan = plan_of(store, reason, SOUND, CHANGING)
    plan.catalogue.save()
    rows: set[str] = set()
    reasons: list[str] = []
    for event in run_inline(plan, lambda: graph(reason), store):
        if isinstance(event, TaskDone):
            plan.ledger.add(event.result)
            rows.update(
                store.read_table(table_key(event.result.output))["recording_id"].to_pylist()
            )
            reasons += store.read_table(errors_key(event.result.output))["reason"].to_pylist()
    plan.ledger.flush()
    return plan, rows, reasons


@pytest.mark.parametrize("reason", sorted(PASSING_REASONS))
def test_nothing_stays_of_what_was_half_read(tmp_path: Path, reason: str) -> None:
    _, rows, reasons = run(Store.open(tmp_path), reason)
    assert reasons == [reason]
    assert rows == {SOUND.recording_id}


def test_other_errors_cost_no_second_attempt(tmp_path: Path) -> None:
    _, rows, reasons = run(Store.open(tmp_path), "truncated")
    assert reasons == ["truncated"]
    assert rows == {SOUND.recording_id, CHANGING.recording_id}


def test_only_where_it_failed_a_recording_is_tried_again(tmp_path: Path) -> None:
    """Once it has left that shard for another, that is the past."""
    store = Store.open(tmp_path)
    plan, _, _ = run(store, "source_changed")
    assert plan.errors(store)["recording_id"].to_pylist() == [CHANGING.recording_id]
    next_run = plan_of(store, "source_changed", SOUND, CHANGING)
    next_run.catalogue.renew([CHANGING.recording_id])
    next_run.catalogue.save()
    again = plan_of(store, "source_changed", SOUND, CHANGING)
    assert again.shards == 2
    assert again.errors(store).num_rows == 0
