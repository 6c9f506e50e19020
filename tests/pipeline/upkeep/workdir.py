"""A WORKDIR with the toy stages, and everything that can happen to one in its life."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa

from tests.pipeline.toys import toy_graph
from wavemill.manifests.recording import Recording, SourceError
from wavemill.manifests.table import recordings_table
from wavemill.pipeline.catalogue import Catalogue
from wavemill.pipeline.execution.events import TaskDone
from wavemill.pipeline.execution.inline import run_inline
from wavemill.pipeline.graph import Graph
from wavemill.pipeline.ledger import Ledger
from wavemill.pipeline.parts import check_parts
from wavemill.pipeline.plan import Plan
from wavemill.pipeline.snapshots import Snapshot, latest_snapshot, write_snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.upkeep.findings import Inspection
from wavemill.pipeline.upkeep.repair import relink, repair
from wavemill.pipeline.upkeep.retention import Garbage, find_garbage, remove
from wavemill.pipeline.upkeep.verify import inspect
from wavemill.pipeline.upkeep.withdrawal import (
    active_recordings,
    add_tombstones,
    check_no_model_has_work,
    without_models,
    without_withdrawn,
)

FAR_FUTURE_MS = 1 << 42  # "now" for finding leftovers: all of them are old by then


class Workdir:
    def __init__(
        self,
        folder: Path,
        store: Store | None = None,
        source_errors: Sequence[SourceError] = (SourceError("x", "no", "x"),),
    ) -> None:
        self.store = store or Store.open(folder / "work")
        self.log = folder / "calls.txt"
        self.source_errors = source_errors

    def copy(self, folder: Path) -> Workdir:
        """Return a copy in another folder, with hard links as here."""
        folder.mkdir(exist_ok=True)
        subprocess.run(["cp", "-a", self.store.root, folder / "work"], check=True)
        return Workdir(folder, source_errors=self.source_errors)

    def plan(self, recordings: Iterable[Recording], graph: Graph) -> Plan:
        table = recordings_table(sorted(recordings, key=lambda r: r.recording_id))
        today = without_withdrawn(self.store, table)
        return Plan(graph, Catalogue(self.store, today, 120), Ledger(self.store))

    def run(
        self,
        recordings: Iterable[Recording],
        threshold: int = 50,
        tasks: int | None = None,
        remember: bool = True,
        **changes: int,
    ) -> Counter[str]:
        """Build, and return how often each stage was called.

        With `tasks`, the driver dies after so many, and (`remember` false) before it could write
        what it had been told.
        """
        self.log.write_text("", encoding="utf-8")
        maker = partial(toy_graph, log=self.log, threshold=threshold, **changes)
        plan = self.plan(recordings, maker())
        plan.catalogue.save()
        done = 0
        for event in run_inline(plan, maker, self.store):
            if isinstance(event, TaskDone):
                done += 1
                if remember:
                    plan.ledger.add(event.result)
                if done == tasks:
                    break
        if tasks is None:
            self.publish(plan)
        else:
            plan.ledger.flush()
        return Counter(
            line.split()[0] for line in self.log.read_text(encoding="utf-8").splitlines()
        )

    def publish(self, plan: Plan) -> Snapshot:
        check_parts(self.store, plan)
        snapshot = write_snapshot(self.store, plan, self.source_errors, {}, "0")
        plan.remember_finished(self.store)
        relink(self.store)
        return snapshot

    def withdraw(
        self,
        ids: list[str],
        threshold: int = 50,
        purge: bool = False,
        names: Sequence[str] = (),
    ) -> Snapshot:
        """What `wavemill withdraw` does; with `purge` it is wished for, not done.

        Raises LookupError where a model has work.
        """
        add_tombstones(self.store, {key: [key, *names] for key in ids}, "they asked", 1, purge)
        graph = toy_graph(threshold=threshold)
        catalogue = Catalogue(self.store, active_recordings(self.store), 120)
        plan = Plan(graph, catalogue, Ledger(self.store))
        check_no_model_has_work(plan)
        plan.catalogue.save()
        for event in run_inline(plan, lambda: without_models(graph), self.store):
            if isinstance(event, TaskDone):
                plan.ledger.add(event.result)
        return self.publish(plan)

    def gc(self, keep: int = 1) -> Garbage:
        garbage = find_garbage(self.store, keep, FAR_FUTURE_MS)
        remove(self.store, garbage)
        return garbage

    def verify(self) -> list[str]:
        return [damage.key for damage in inspect(self.store).damages]

    def repair(self) -> Inspection:
        found = inspect(self.store)
        repair(self.store, found)
        return found

    def rows(self, snapshot: str = "corpus") -> list[tuple[str, int]]:
        if snapshot == "corpus" and not self.store.local:
            snapshot = f"snapshots/{self.number():06d}"
        keys = [f"{snapshot}/gather/{name}" for name in self.store.names(f"{snapshot}/gather")]
        rows = pa.concat_tables(self.store.read_table(key) for key in keys).to_pylist()
        return sorted((row["segment_id"], row["number"]) for row in rows)

    def number(self) -> int:
        snapshot = latest_snapshot(self.store)
        return snapshot.number if snapshot else 0

    def files(self, prefix: str) -> list[str]:
        return sorted(file.key for file in self.store.files(prefix))


def expected_rows(recordings: Iterable[Recording], threshold: int = 50) -> list[tuple[str, int]]:
    """What the toy stages make of recordings, whatever happened to the WORKDIR before."""
    return sorted(
        (f"{rec.uri}-{index}", 2 * byte)
        for rec in recordings
        if "bad" not in rec.uri
        for index, byte in enumerate(bytes.fromhex(rec.recording_id[:8]))
        if byte >= threshold
    )
