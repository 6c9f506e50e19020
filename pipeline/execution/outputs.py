"""From what workers report to the ledger, except where the program itself may be at fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wavemill.manifests.faults import FaultWatch, ProgramFault
from wavemill.pipeline.ledger import Ledger
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import TaskReport, errors_key, table_key


class Outputs:
    """Enters finished outputs in the ledger.

    Where every recording of a task failed by the same fault of the program (a TypeError, say, of
    a library that is too new), that output and all that the shard makes of it are held back until
    the run is over. If the fault met everything in that stage, they are deleted, since the next
    run has to make them again; else it came of these recordings, and they are entered.
    """

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store, self._ledger = store, ledger
        self._watches: dict[str, FaultWatch] = {}  # by stage
        self._held: dict[str, list[tuple[TaskReport, float]]] = {}  # by shard

    def add(self, report: TaskReport, gpus: float) -> None:
        """Enter an output, or hold it back. Raises ProgramFault once many failed, none else."""
        if report.fault is not None:
            self._held.setdefault(report.shard_id, [])
        if report.shard_id in self._held:
            self._held[report.shard_id].append((report, gpus))
        else:
            self._ledger.add(report, gpus)
        if report.tried:
            watch = self._watches.setdefault(report.stage, FaultWatch(report.stage))
            with self._deleting():
                watch.add(report.fault, report.tried)

    def end(self) -> None:
        """Enter what was held back. Raises ProgramFault where everything failed in one stage."""
        with self._deleting():
            for watch in self._watches.values():
                watch.end()
        for reports in self._held.values():
            for report, gpus in reports:
                self._ledger.add(report, gpus)
        self._held = {}

    @contextmanager
    def _deleting(self) -> Iterator[None]:
        try:
            yield
        except ProgramFault:
            for reports in self._held.values():
                for report, _ in reversed(reports):  # so that no table stands without its inputs
                    self._store.delete(table_key(report.output))
                    self._store.delete(errors_key(report.output))
            raise
