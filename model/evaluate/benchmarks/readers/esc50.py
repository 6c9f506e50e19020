"""ESC-50: meta/esc50.csv and audio/*.wav; a fold of the five."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem
from wavemill.model.evaluate.benchmarks.readers.layout import Cut, content, found, rows_of_csv

COLUMNS = ("filename", "fold", "category")


def read(source: Path, subset: str, cut: Cut) -> Iterator[BenchmarkItem]:
    """`subset` is the fold, 1 to 5; `source` is ESC-50-master/ or its parent."""
    del cut
    table = found(source, ("meta/esc50.csv", "ESC-50-master/meta/esc50.csv"), "ESC-50")
    for row in rows_of_csv(table, COLUMNS):
        if row["fold"] == subset:
            sound = content(table.parent.parent / "audio" / row["filename"], "named in esc50.csv")
            label = row["category"].replace("_", " ")
            yield BenchmarkItem(Path(row["filename"]).stem, sound, references=(label,))
