"""Tables of a WORKDIR written by hand, for measuring and for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa


def filled(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Fill what a row does not say: null where that may be, else nothing of the type."""
    missing = {f.name: None if f.nullable else nothing(f.type) for f in schema}
    return pa.Table.from_pylist([{**missing, **row} for row in rows], schema=schema)


def nothing(kind: pa.DataType) -> Any:
    """Return the empty value of a type: "", [], b"" or 0."""
    if pa.types.is_string(kind):
        return ""
    if pa.types.is_list(kind):
        return []
    return b"" if pa.types.is_binary(kind) else 0
