"""VoiceBench as the hub stores it: SUBSET/SPLIT-*.parquet, the question in `audio` and `prompt`.

Of SD-QA, which has a file per accent, the accent `usa`; of MMSU every domain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem
from wavemill.model.evaluate.benchmarks.readers.layout import Cut, SourceError, found

COLUMNS = {
    "alpacaeval": ("audio", "prompt"),
    "alpacaeval_full": ("audio", "prompt"),
    "commoneval": ("audio", "prompt"),
    "sd-qa": ("audio", "prompt", "reference"),
    "mmsu": ("audio", "prompt", "reference"),
    "openbookqa": ("audio", "prompt", "reference"),
    "ifeval": ("audio", "prompt", "instruction_id_list", "kwargs"),
    "advbench": ("audio", "prompt"),
}
FILES = {"sd-qa": "usa-*.parquet"}
_OPTION = re.compile(r"^\s*\(?([A-Z])[.):]\s*(.+?)\s*$", re.MULTILINE)


def read(source: Path, subset: str, cut: Cut) -> Iterator[BenchmarkItem]:
    """`source` is a copy of the hub's repository, or its folder data/."""
    del cut
    if subset not in COLUMNS:
        raise SourceError(f"VoiceBench has no part {subset!r}; there are {', '.join(COLUMNS)}")
    folder = found(source, (subset, f"data/{subset}"), "VoiceBench")
    files = sorted(folder.glob(FILES.get(subset, "*.parquet")))
    if not files:
        raise SourceError(f"{folder}: there is no {FILES.get(subset, '*.parquet')}")
    for path in files:
        split = path.stem.partition("-")[0]
        for index, row in enumerate(_rows(path, COLUMNS[subset])):
            try:
                yield _item(f"{subset}-{split}-{index:05d}", row)
            except (AttributeError, KeyError, TypeError) as error:
                raise SourceError(
                    f"{path}, row {index}: not as VoiceBench has it: {error}"
                ) from None


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            for column in columns:
                if column not in names:
                    raise SourceError(
                        f"{path}: there is no column {column!r}; it has {', '.join(names)}"
                    )
            for batch in file.iter_batches(batch_size=32, columns=list(columns)):
                yield from batch.to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{path} is not a Parquet file: {error}") from None


def _item(item_id: str, row: Mapping[str, Any]) -> BenchmarkItem:
    details: dict[str, Any] = {}
    if "instruction_id_list" in row:
        details["instruction_ids"] = row["instruction_id_list"]
        details["kwargs"] = [_given(values) for values in row["kwargs"]]
    reference = row.get("reference")
    options = [match[2] for match in _OPTION.finditer(row["prompt"])]
    is_choice = reference is not None and len(reference) == 1 and len(options) > 1
    return BenchmarkItem(
        item_id,
        row["audio"]["bytes"],
        question=row["prompt"],
        options=tuple(options) if is_choice else (),
        references=() if reference is None else (reference,),
        details=details,
    )


def _given(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the arguments that are not null: Parquet has a column for each in every row."""
    return {name: value for name, value in (values or {}).items() if value is not None}
