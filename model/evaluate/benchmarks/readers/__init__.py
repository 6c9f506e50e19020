"""Readers of downloaded data sets, one file each, in the layouts of their makers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem
from wavemill.model.evaluate.benchmarks.readers import (
    aishell1,
    esc50,
    fleurs,
    iemocap,
    librispeech,
    meld,
    voicebench,
    wenetspeech,
)
from wavemill.model.evaluate.benchmarks.readers.layout import Cut, Reader, SourceError, nonempty
from wavemill.model.evaluate.benchmarks.schema import Benchmark

READERS: dict[str, Reader] = {
    "aishell1": aishell1.read,
    "esc50": esc50.read,
    "fleurs": fleurs.read,
    "iemocap": iemocap.read,
    "librispeech": librispeech.read,
    "meld": meld.read,
    "voicebench": voicebench.read,
    "wenetspeech": wenetspeech.read,
}


def read_source(
    benchmark: Benchmark, source: Path, cut: Cut, subset: str | None = None
) -> Iterator[BenchmarkItem]:
    """Yield a benchmark's items from a download. Raises SourceError, also while reading."""
    reader = benchmark.data.prepared_by
    if reader not in READERS:
        raise SourceError(
            f"there is no reader for {benchmark.name} ({benchmark.data.access}: "
            f"{benchmark.data.source}); write its items as JSONL: see wavemill benchmark show"
        )
    if not source.is_dir():
        raise SourceError(f"there is no folder {source}")
    part = subset or benchmark.data.subset or ""
    return nonempty(READERS[reader](source, part, cut), f"{source}, {part}")
