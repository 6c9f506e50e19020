"""Removing stage outputs; an interruption at any moment leaves a sound WORKDIR.

A row is removed from the ledger before its file is removed, so what is in the ledger exists. A
worker uses a file without a row as it is, so that file must be right. An output of a selected stage
holds the rows that the earlier outputs of its stem lack, so it must not outlive them. Therefore the
newest output of every stem is removed first, then the next one, and so on.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from wavemill.pipeline.ledger import SCHEMA, Ledger
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.output_key import errors_key, table_key
from wavemill.pipeline.store import Store


def drop_outputs(store: Store, ledger: pa.Table, dropped: pa.Table) -> None:
    """Remove `dropped` (rows of `ledger`, both SCHEMA) from the ledger and the store."""
    with memory_database() as database:
        database.register("dropped", dropped.select(["output", "stem", "finished_ms"]))
        rounds = database.sql(_ROUNDS).fetchall()
    for (outputs,) in rounds:
        gone = pa.array(outputs, pa.string())
        ledger = ledger.filter(pc.invert(pc.is_in(ledger["output"], gone)))
        Ledger(store).replace(ledger.cast(SCHEMA))
        store.delete_all(table_key(output) for output in outputs)
        store.delete_all(errors_key(output) for output in outputs)


_ROUNDS = """
select list(output) from (
    select output,
           row_number() over (partition by stem order by finished_ms desc, output desc) as round
    from dropped)
group by round order by round
"""
