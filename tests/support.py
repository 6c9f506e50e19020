"""What several tests need: an in-memory upstream and the folder of real recordings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from wavemill.stages.audio.block_table import SCHEMA, STAGE_OF

ROOT = Path(__file__).resolve().parent.parent


class MemoryUpstream:
    """`Upstream` of one recording over tables in memory."""

    lineage_id = "lineage"

    def __init__(self, recording_id: str, tables: Mapping[str, pa.Table]) -> None:
        self.recording_id = recording_id
        self.tables = tables

    def table(self, stage: str, columns: list[str] | None = None) -> pa.Table:
        table = self.tables[stage]
        rows = table.filter(pc.field("recording_id") == self.recording_id)
        return rows.select(columns) if columns else rows

    def batches(
        self, stage: str, columns: list[str] | None = None, between: tuple[int, int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        table = self.tables[stage].filter(pc.field("recording_id") == self.recording_id)
        if between is not None:
            start, end = between
            table = table.filter((pc.field("start_ms") < end) & (pc.field("end_ms") > start))
        yield from (table.select(columns) if columns else table).to_batches(max_chunksize=1)


def stored_tables(rows: Sequence[Mapping[str, Any]]) -> dict[str, pa.Table]:
    """Return the tables of decode and denoise, given the rows of both."""
    return {
        stage: pa.Table.from_pylist([r for r in rows if r["version"] == version], SCHEMA)
        for version, stage in STAGE_OF.items()
    }


def without_channels(recordings: pa.Table) -> pa.Table:
    """Return a table with recordings as versions wrote it that knew no channels of items."""
    index = recordings.schema.get_field_index("items")
    item = recordings.schema.field("items").type.value_type
    kept = pa.struct([field for field in item if field.name != "channel"])
    items = [[dict(i) for i in some] for some in recordings["items"].to_pylist()]
    return recordings.set_column(index, "items", pa.array(items, pa.list_(kept)))


def audio_folder() -> Path:
    """Return the folder of real recordings, or skip the test where it is absent."""
    folder = Path(os.environ.get("WAVEMILL_AUDIO", ROOT.parent / "shared" / "audio"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder} (WAVEMILL_AUDIO names the folder)")
    return folder
