"""LibriSpeech (OpenSLR 12): SUBSET/speaker/chapter/*.flac beside speaker-chapter.trans.txt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem
from wavemill.model.evaluate.benchmarks.readers.layout import Cut, content, found


def read(source: Path, subset: str, cut: Cut) -> Iterator[BenchmarkItem]:
    """`subset` is test-clean, dev-other ...; `source` is LibriSpeech/, its parent or the subset."""
    del cut
    if source.name == subset and not (source / subset).is_dir():
        folder = source
    else:
        folder = found(source, (subset, f"LibriSpeech/{subset}"), "unpack the archive here")
    for transcripts in sorted(folder.glob("*/*/*.trans.txt")):
        for line in transcripts.read_text(encoding="utf-8").splitlines():
            item_id, _, text = line.partition(" ")
            sound = content(transcripts.parent / f"{item_id}.flac", f"named in {transcripts.name}")
            yield BenchmarkItem(item_id, sound, references=(text,), language="en")
