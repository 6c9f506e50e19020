"""Every worker read the audio of all clips, whoever learnt from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import wavemill.model.data.clip_batches
import wavemill.model.data.clips
import wavemill.model.data.files
from tests.model.data.made import conversation_row, write
from tests.model.train.speech.made import RATE, made_clip, write_corpus
from wavemill.model.data.clip_batches import ClipBatches
from wavemill.model.data.clips import ClipSettings, SpeechClip
from wavemill.model.data.corpus import Corpus, Sound
from wavemill.model.data.files import Files, Stored, stored_audio
from wavemill.model.data.source import Problems, Share

CLIPS = [made_clip(n, 60 + n % 5) for n in range(24)]
FILE_END = 1 << 16  # bytes that Parquet reads of a file at first, in search of its footer
WANTED = ClipSettings(window_clips=100, batch_clips=1)  # one window an epoch


@dataclass
class Counted:
    """A file that notes in `total` how many bytes were read of all such files."""

    file: BinaryIO
    total: list[int]

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.total[0] += len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()


@dataclass
class Reading:
    """What the first window cost a rank."""

    rows: tuple[Stored, ...]
    audio_bytes: int
    plan_bytes: int


def reading(place: str, share: Share, monkeypatch: pytest.MonkeyPatch) -> Reading:
    """Return what one rank reads until it has its first micro-batch of an epoch."""
    total = [0]
    opened = wavemill.model.data.files.open_file
    monkeypatch.setattr(
        wavemill.model.data.files, "open_file", lambda name: Counted(opened(name), total)
    )
    readings: list[Reading] = []

    def noted(files: Files, kind: str, places: Sequence[Stored], problems: Problems) -> Any:
        plan = total[0]  # rows, without audio
        found = stored_audio(files, kind, places, problems)
        readings.append(Reading(tuple(places), total[0] - plan, plan))
        return found

    monkeypatch.setattr(wavemill.model.data.clip_batches, "stored_audio", noted)
    source = ClipBatches(Corpus.open(place, "pretrain"), WANTED, RATE, share)
    next(source)
    assert source._reader is not None
    source._reader.shutdown()  # waits for the window behind, whose bytes are not counted
    source.close()
    monkeypatch.undo()
    return readings[0]  # what comes behind is the next epoch's, read ahead


@pytest.mark.parametrize("group", [1, 6])
def test_a_rank_reads_the_audio_of_its_own_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    write_corpus(tmp_path, CLIPS, files=2, group=group)
    alone = reading(str(tmp_path), Share(), monkeypatch)
    shared = [reading(str(tmp_path), Share(rank, 4), monkeypatch) for rank in range(4)]
    stored = sum(len(clip.sound.data) for clip in CLIPS)
    ends = 2 * FILE_END
    assert stored > 10 * ends
    assert alone.plan_bytes < 4 * ends  # all rows, and none of their audio
    assert stored < alone.audio_bytes < 1.05 * stored + ends
    assert [len(one.rows) for one in shared] == [6] * 4
    assert sorted(place for one in shared for place in one.rows) == sorted(alone.rows)
    if group == 1:  # where a row is a row group, no byte of another's audio either
        assert sum(one.audio_bytes for one in shared) < 1.05 * stored + 4 * ends


def test_a_row_group_without_own_clips_is_not_read(tmp_path: Path) -> None:
    write_corpus(tmp_path, CLIPS, files=2, group=3)
    corpus = Corpus.open(str(tmp_path), "pretrain")
    for file in sorted(tmp_path.rglob("*.parquet")):
        spoil_audio(file, groups=[1, 2, 3])
    places = [Stored(1, 2), Stored(0, 0)]
    found = stored_audio(corpus.files, "pretrain", places, corpus.problems)
    assert found == {Stored(0, 0): CLIPS[0].sound.data, Stored(1, 2): CLIPS[5].sound.data}
    assert not corpus.problems.counts


def test_audio_that_is_not_there_is_told_and_left_out(tmp_path: Path) -> None:
    mute = [replace(clip, sound=Sound(b"", clip.sound.codes)) for clip in CLIPS[:1]]
    write_corpus(tmp_path, [*mute, *CLIPS[1:]], files=1, group=3)
    (file,) = tmp_path.rglob("*.parquet")
    spoil_audio(file, groups=[1])
    lost = {"clip0", "clip3", "clip4", "clip5"}
    kept = {clip.id for clip in CLIPS} - lost
    seen: set[str] = set()
    for rank in range(2):
        # A micro-batch of which nothing is left takes the place of no other rank's.
        source = ClipBatches(Corpus.open(str(tmp_path), "pretrain"), WANTED, RATE, Share(rank, 2))
        seen |= {name for _ in range(12) for name in next(source).ids}
        source.close()
        assert set(source.problems()) <= {"no_audio", "corrupted_row_group"}
    assert seen == kept


def test_audio_of_conversations_is_that_of_the_message(tmp_path: Path) -> None:
    rows = [conversation_row(n) for n in range(9)]
    place = write(tmp_path, "sft", [rows[:5], rows[5:]], group=2)
    corpus = Corpus.open(str(place), "sft")
    whole = {clip.id: clip for clip in wavemill.model.data.clips.clips_of(corpus, SFT)}
    places = [clip.stored for clip in whole.values() if clip.stored is not None]
    assert {place.message for place in places} == {1}
    found = stored_audio(corpus.files, "sft", places, corpus.problems)
    assert [found[place] for place in places] == [clip.sound.data for clip in whole.values()]


def test_conversations_without_any_audio_have_none(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "kind": "audio", "semantic_tokens": [1, 2]},
        {"role": "assistant", "kind": "text", "text": "one"},
    ]
    row = {"sample_id": "s", "task": "asr", "language": "en", "split": None, "messages": messages}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "0.parquet")
    corpus = Corpus.open(str(tmp_path), "sft")
    found = stored_audio(corpus.files, "sft", [Stored(0, 0, 0)], corpus.problems)
    assert found == {Stored(0, 0, 0): b""}


def test_a_clip_is_equal_wherever_it_is_stored() -> None:
    clip = CLIPS[0]
    assert clip == SpeechClip(clip.id, clip.text, clip.speaker, clip.sound, Stored(1, 2))


SFT = ClipSettings(corpus="sft")


def spoil_audio(file: Path, groups: Sequence[int]) -> None:
    """Break the pages of stored audio in row groups; the other columns can be read."""
    metadata = pq.read_metadata(file)
    data = bytearray(file.read_bytes())
    for group in groups:
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            if column.path_in_schema == "audio.bytes":
                start = column.dictionary_page_offset or column.data_page_offset
                data[start : start + 64] = b"\xff" * 64
    file.write_bytes(data)
