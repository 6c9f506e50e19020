"""Entering task results in the ledger, unless the program itself may be at fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wavemill.manifests.faults import FaultWatch, ProgramFault
from wavemill.pipeline.ledger import Ledger
from wavemill.pipeline.output_key import errors_key, table_key
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import TaskResult


class Outputs:
    """Enters finished outputs in the ledger.

    If all recordings of a task failed by the same fault of the program (for example a TypeError
    from a library that is too new), that output and all later outputs of the shard are held back
    until the run ends. If the fault occurred for everything in that stage, they are deleted and
    the next run makes them again. Otherwise these recordings caused it, and they are entered.
    """

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store, self._ledger = store, ledger
        self._watches: dict[str, FaultWatch] = {}  # by stage
        self._held: dict[str, list[tuple[TaskResult, float]]] = {}  # by shard

    def add(self, result: TaskResult, gpus: float) -> None:
        """Enter an output or hold it back.

        `gpus` is how many the worker held. Raises ProgramFault once many recordings failed by one
        fault of the program and none passed.
        """
        if result.fault is not None:
            self._held.setdefault(result.shard_id, [])
        if result.shard_id in self._held:
            self._held[result.shard_id].append((result, gpus))
        else:
            self._ledger.add(result, gpus)
        if result.tried:
            watch = self._watches.setdefault(result.stage, FaultWatch(result.stage))
            with self._deleting():
                watch.add(result.fault, result.tried)

    def end(self) -> None:
        """Enter what was held back. Raises ProgramFault if everything failed in one stage."""
        with self._deleting():
            for watch in self._watches.values():
                watch.end()
        for results in self._held.values():
            for result, gpus in results:
                self._ledger.add(result, gpus)
        self._held = {}

    @contextmanager
    def _deleting(self) -> Iterator[None]:
        try:
            yield
        except ProgramFault:
            for results in self._held.values():
                for result, _ in reversed(results):  # no table may stay without its inputs
                    self._store.delete(table_key(result.output))
                    self._store.delete(errors_key(result.output))
            raise
