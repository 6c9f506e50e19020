"""Small helpers to declare and fill the tables of stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa


def field(name: str, kind: pa.DataType, description: str, nullable: bool = False) -> pa.Field:
    """Return a pyarrow field that carries its description (printed by `wavemill schema`)."""
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


def batch(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Return `rows` as one record batch of `schema`; a missing or extra key is an error."""
    for row in rows:
        if row.keys() != set(schema.names):
            raise ValueError(f"row has {sorted(row)}, schema has {sorted(schema.names)}")
    return pa.RecordBatch.from_pylist(list(rows), schema=schema)
