"""The findings of an inspection of a WORKDIR."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import pyarrow as pa

from wavemill.pipeline.snapshots import Snapshot


class Kind(StrEnum):
    """What is damaged, which decides how it can be repaired."""

    OUTPUT = "output"  # of a stage: make it again
    PART = "part"  # in the corpus of a snapshot: link it again
    SNAPSHOT = "snapshot"  # a snapshot's own file: only a new snapshot helps
    POINTER = "pointer"  # LATEST or corpus: write it again
    LEDGER = "ledger"  # rebuild its rows from the files
    CATALOGUE = "catalogue"  # make it again from the newest snapshot and the outputs
    TOMBSTONES = "tombstones"  # only a backup helps; withdrawn recordings come back
    PURGE = "purge"  # was interrupted: the next run that holds the lock finishes it


@dataclass(frozen=True)
class Damage:
    key: str
    problem: str
    kind: Kind
    output: str = ""  # of an output or part: what must be made or linked again
    stem: str = ""
    stage: str = ""
    shard_id: str = ""


@dataclass
class Inspection:
    """What was found. `ledger` (LEDGER_SCHEMA) holds the rows that could be read."""

    damages: list[Damage]
    ledger: pa.Table
    snapshots: list[Snapshot]  # those that can be read, oldest first
    files: int = 0  # that were checked
    checked: dict[str, str] = field(
        default_factory=dict
    )  # output -> its problem, "" if it has none

    @property
    def newest(self) -> Snapshot | None:
        """The newest snapshot that can be read."""
        return self.snapshots[-1] if self.snapshots else None

    @property
    def keys(self) -> set[str]:
        """The keys of the damaged files."""
        return {damage.key for damage in self.damages}
