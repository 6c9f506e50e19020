"""The finished shards: those of which every output that the corpora need was there.

They are in one file, `manifest/finished.parquet`, which is written when a snapshot is, so that
planning compares neither the members nor the ledger's rows of shards in which nothing has changed.
It holds nothing that the catalogue and the ledger do not say: without it, all shards are compared.

What it says counts for the graph and the files of the ledger that it was written for. Rows that
are added to the ledger take nothing from it; files of the ledger that are replaced do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields

import pyarrow as pa

from wavemill.pipeline.store import Store

FINISHED = "manifest/finished.parquet"
SHARDS = pa.schema(
    [
        ("shard_id", pa.string()),
        ("label_digest", pa.string()),
        ("duration_ms", pa.int64()),  # of the active members, as all that follows
        ("recordings", pa.int64()),
        ("labelled", pa.bool_()),
        ("written", pa.bool_()),
    ]
)
_ABOUT = b"wavemill.finished"


@dataclass(frozen=True)
class Finished:
    """What `manifest/finished.parquet` says, or nothing."""

    shards: pa.Table = field(default_factory=SHARDS.empty_table)  # SHARDS
    catalogue: str = ""  # mark of the catalogue whose shards these are
    graph: str = ""  # `Graph.digest`
    ledger: dict[str, int] = field(default_factory=dict)  # its files and their bytes
    published: str = ""  # digest of the snapshot's number and of what else it was made of

    @classmethod
    def read(cls, store: Store) -> Finished:
        """Return what the store has; nothing where the file is missing or damaged."""
        try:
            table = store.read_table(FINISHED)
            about = json.loads((table.schema.metadata or {})[_ABOUT])
            return cls(table.select(SHARDS.names).cast(SHARDS), **about)
        except (FileNotFoundError, KeyError, ValueError, TypeError):
            return cls()

    def write(self, store: Store) -> None:
        """Write the file."""
        names = [f.name for f in fields(self) if f.name != "shards"]
        about = {name: getattr(self, name) for name in names}
        metadata = {_ABOUT: json.dumps(about).encode()}
        store.write_table(FINISHED, self.shards.cast(SHARDS).replace_schema_metadata(metadata))

    def holds_for(self, graph: str, ledger: dict[str, int]) -> bool:
        """Whether these shards are finished for a graph, given the ledger's files of now."""
        return self.graph == graph and self.ledger.items() <= ledger.items()
