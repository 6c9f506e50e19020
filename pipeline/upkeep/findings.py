"""What an inspection of a WORKDIR finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import pyarrow as pa

from wavemill.pipeline.snapshots import Snapshot


class Kind(StrEnum):
    """What is damaged, and so how it can be mended."""

    OUTPUT = "output"  # of a stage: make it again
    PART = "part"  # of a snapshot's corpus: link it again
    SNAPSHOT = "snapshot"  # a snapshot's own file: only a new snapshot helps
    POINTER = "pointer"  # LATEST or corpus: write it again
    LEDGER = "ledger"  # rebuild its rows from the files
    CATALOGUE = "catalogue"  # make it again from the newest snapshot and the outputs
    TOMBSTONES = "tombstones"  # nothing helps but a backup; what was withdrawn comes back
    PURGE = "purge"  # was interrupted: whoever next holds the WORKDIR finishes it


@dataclass(frozen=True)
class Damage:
    key: str
    problem: str
    kind: Kind
    output: str = ""  # of an output or part: what has to be made or linked again
    stem: str = ""
    stage: str = ""
    shard_id: str = ""


@dataclass
class Inspection:
    """What was found. `ledger` (LEDGER_SCHEMA) holds what could be read of it."""

    damages: list[Damage]
    ledger: pa.Table
    snapshots: list[Snapshot]  # those that can be read, oldest first
    files: int = 0  # looked at
    checked: dict[str, str] = field(default_factory=dict)  # output -> what is wrong, "" if nothing

    @property
    def newest(self) -> Snapshot | None:
        return self.snapshots[-1] if self.snapshots else None

    @property
    def keys(self) -> set[str]:
        """The keys of the damaged files."""
        return {damage.key for damage in self.damages}
