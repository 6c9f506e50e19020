"""The corpus reads the audio of a recording as it writes it."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from wavemill.pipeline.corpora.pretrain import StoredAudio

ORDER = [f"s{number}" for number in range(40)]


class Stored:
    """The rows of store_audio, four in a batch; counts the batches that were read."""

    lineage_id = ""

    def __init__(self, order: list[str]) -> None:
        self.order, self.read = order, 0

    def table(self, stage: str, columns: list[str] | None = None) -> pa.Table:
        raise AssertionError((stage, columns))

    def batches(
        self, stage: str, columns: list[str] | None = None, between: tuple[int, int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        assert (stage, columns, between) == ("store_audio", None, None)
        for first in range(0, len(self.order), 4):
            self.read += 1
            rows = [{"segment_id": key, "audio": b""} for key in self.order[first : first + 4]]
            yield pa.RecordBatch.from_pylist(rows)


def test_no_more_is_read_than_is_asked_for() -> None:
    stored = Stored(ORDER)
    kept = set(ORDER[1::2])
    audio = StoredAudio(stored, kept)
    for number, key in enumerate(ORDER):
        if key in kept:
            assert audio.take(key)["segment_id"] == key
            assert stored.read == number // 4 + 1


def test_rows_that_were_added_later_are_found() -> None:
    stored = Stored([*ORDER[::2], *ORDER[1::2]])
    audio = StoredAudio(stored, set(ORDER))
    assert [audio.take(key)["segment_id"] for key in ORDER] == ORDER


def test_a_row_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        StoredAudio(Stored(ORDER), {"s1"}).take("s99")
