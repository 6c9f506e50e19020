"""At the end of each window of clips, training waited until the next one was read."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.model.data.made import RATE, segment_row, write
from wavemill.model.data.clip_batches import ClipBatches
from wavemill.model.data.clips import ClipSettings
from wavemill.model.data.corpus import Corpus


def test_the_next_window_is_read_while_one_is_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write(tmp_path, "pretrain", [[segment_row(r, 0) for r in range(6)]])
    corpus = Corpus.open(str(place), "pretrain")
    settings = ClipSettings(window_clips=3, batch_clips=1)
    begun: list[int] = []
    second = threading.Event()
    read = Corpus.segments

    def watched(self: Corpus, file: int, start: int = 0):  # type: ignore[no-untyped-def]
        begun.append(start)
        if len(begun) == 2:
            second.set()
        return read(self, file, start)

    monkeypatch.setattr(Corpus, "segments", watched)
    source = ClipBatches(corpus, settings, RATE)
    names = [next(source).ids[0]]
    assert second.wait(30)  # though two clips of the first window are still to come
    names += [next(source).ids[0] for _ in range(5)]
    assert {*names[:3]} == {"r0-0", "r1-0", "r2-0"}
    assert {*names[3:]} == {"r3-0", "r4-0", "r5-0"}
    source.close()
