"""IEMOCAP: Session5/dialog/EmoEvaluation/*.txt and sentences/wav/DIALOGUE/UTTERANCE.wav.

Four classes, as is usual: neutral, happy (with excited), sad, angry; other labels are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem
from wavemill.model.evaluate.benchmarks.readers.layout import Cut, content, found

CLASSES = {"neu": "neutral", "hap": "happy", "exc": "happy", "sad": "sad", "ang": "angry"}
_LINE = re.compile(r"\[[\d.]+ - [\d.]+\]\t(\S+)\t(\w+)\t")


def read(source: Path, subset: str, cut: Cut) -> Iterator[BenchmarkItem]:
    """`subset` is Session1 to Session5; `source` is IEMOCAP_full_release/ or its parent."""
    del cut
    names = (subset, f"IEMOCAP_full_release/{subset}")
    session = found(source, names, "IEMOCAP_full_release")
    labels = found(session, ("dialog/EmoEvaluation",), "the labels of the session")
    for file in sorted(labels.glob("Ses*.txt")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            match = _LINE.match(line)
            if match is None or match[2] not in CLASSES:
                continue
            path = session / "sentences" / "wav" / file.stem / f"{match[1]}.wav"
            sound = content(path, f"named in {file.name}")
            yield BenchmarkItem(match[1], sound, references=(CLASSES[match[2]],))
