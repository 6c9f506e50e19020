"""The recordings that a model was trained on: a file in its folder, which evaluations read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from wavemill.model.io.folders import WeightsError

FILE = "learnt-from.parquet"
COLUMN = "recording_id"


def write_learnt_from(folder: Path, recordings: Iterable[str]) -> None:
    """Write the ids of recordings (`recording_id` of a corpus) into a model's folder."""
    pq.write_table(pa.table({COLUMN: sorted(set(recordings))}), folder / FILE, compression="zstd")


def read_learnt_from(folder: Path) -> frozenset[str]:
    """Return the ids of the recordings that a model was trained on; empty if there is no file.

    Raises WeightsError when the file is damaged.
    """
    if not (folder / FILE).is_file():
        return frozenset()
    try:
        return frozenset(pq.read_table(folder / FILE, columns=[COLUMN])[COLUMN].to_pylist())
    except (OSError, pa.ArrowException) as error:
        raise WeightsError(f"cannot read {folder / FILE}: {error}; remedy: delete it") from None
