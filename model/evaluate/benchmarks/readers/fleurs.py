"""Fleurs as the hub stores it: data/LANG/test.tsv, and audio/test.tar.gz or audio/test/*.wav.

The gold text is the fourth column, `transcription`, not the raw one before it.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem
from wavemill.model.evaluate.benchmarks.readers.layout import Cut, SourceError, content, found

FILE, TEXT, COLUMNS = 1, 3, 7  # id, file_name, raw_transcription, transcription, ...
LANGUAGES = {"cmn": "zh", "yue": "yue"}  # others are the part before the underscore


def read(source: Path, subset: str, cut: Cut) -> Iterator[BenchmarkItem]:
    """`subset` is the hub's language, such as en_us; always its test split."""
    del cut
    table = found(source, (f"data/{subset}/test.tsv", f"{subset}/test.tsv", "test.tsv"), "Fleurs")
    texts = _texts(table)
    stem = subset.partition("_")[0]
    for name, sound in _sounds(table.parent, texts):
        language = LANGUAGES.get(stem, stem)
        yield BenchmarkItem(
            Path(name).stem, sound, references=(texts.pop(name),), language=language
        )
    if texts:
        raise SourceError(f"{table}: {len(texts)} recordings are not there, e.g. {min(texts)}")


def _texts(table: Path) -> dict[str, str]:
    texts = {}
    for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), 1):
        values = line.split("\t")
        if len(values) < COLUMNS:
            raise SourceError(f"{table}, line {number}: {len(values)} columns, not {COLUMNS}")
        texts[values[FILE]] = values[TEXT]
    return texts


def _sounds(folder: Path, wanted: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    place = found(folder, ("audio/test", "audio/test.tar.gz"), "the recordings of test.tsv")
    if place.is_dir():
        for name in sorted(wanted):
            yield name, content(place / name, "named in test.tsv")
        return
    with tarfile.open(place) as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            if name in wanted and (file := archive.extractfile(member)) is not None:
                yield name, file.read()
