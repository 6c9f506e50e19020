"""Parameters of a scan."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ScanConfig(BaseModel):
    """How sources are scanned."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Manifests state rounded durations and containers estimate theirs, so a span may end this
    # much after its recording (it is cut there); more is an error.
    end_tolerance_ms: int = Field(100, ge=0)
    # Above these sizes a label in a tar shard, and a sparse member of one, is not read.
    max_label_bytes: int = Field(16 << 20, ge=1)
    max_sparse_bytes: int = Field(8 << 30, ge=1)
    # Threads that hash and probe; hashing releases the interpreter lock, and waits for disks.
    threads: int = Field(8, ge=1)
    # A file of which nothing more comes for so long (a stuck mount, a decoder in a loop) is left.
    stalled_after_s: float = Field(900.0, gt=0)
    # A long scan stores its hash cache this often, so that a crash loses little.
    cache_interval_s: float = Field(120.0, gt=0)
