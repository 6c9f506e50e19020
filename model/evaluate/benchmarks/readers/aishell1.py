"""AISHELL-1 (OpenSLR 33): transcript/aishell_transcript_v0.8.txt and wav/SPLIT/speaker/*.wav.

Blanks are taken out of the gold text, as published scores are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem
from wavemill.model.evaluate.benchmarks.readers.layout import Cut, SourceError, content, found

TRANSCRIPT = "transcript/aishell_transcript_v0.8.txt"


def read(source: Path, subset: str, cut: Cut) -> Iterator[BenchmarkItem]:
    """`subset` is test, dev or train; `source` is data_aishell/ or its parent."""
    del cut
    names = (TRANSCRIPT, f"data_aishell/{TRANSCRIPT}")
    transcript = found(source, names, "unpack data_aishell.tgz here")
    texts = {}
    for line in transcript.read_text(encoding="utf-8").splitlines():
        item_id, *words = line.split()
        texts[item_id] = "".join(words)
    folder = found(
        transcript.parent.parent, (f"wav/{subset}",), "unpack the archives of the speakers there"
    )
    for path in sorted(folder.glob("*/*.wav")):
        if path.stem not in texts:
            raise SourceError(f"{transcript}: there is no line for {path.stem}")
        sound = content(path, "AISHELL-1")
        yield BenchmarkItem(path.stem, sound, references=(texts[path.stem],), language="zh")
