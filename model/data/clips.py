"""Clips of speech with their words and semantic tokens, at the rate that a network hears.

From `pretrain`, or from the recognition samples of `sft`. The order is seeded: files are shuffled,
then the clips of a window of so many rows; within it, clips of like length make a micro-batch.
Every rank reads the rows of a window without their audio, and so knows everyone's micro-batches;
the audio is read of its own alone, from the row groups that hold it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from manifests.filesystems import open_file
from model.data.corpus import Conversation, Corpus, Sound
from model.data.files import Files
from model.data.problems import Problems
from model.data.sound import SoundError, too_short, waveform_of
from model.data.source import Batches, DataError, Share

TOKEN_MS = 80
TOKENS_PER_SECOND = 12.5
ALONE = Share()


class ClipSettings(BaseModel):
    """Which clips are learnt from, and how many at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: Literal["pretrain", "sft"] = "pretrain"
    speaker: str | None = None  # only this one's; `pretrain` has the column
    shortest_s: float = Field(0.1, ge=0)
    longest_s: float = Field(30.0, gt=0)  # longer clips are passed over
    crop_tokens: int | None = Field(None, ge=1)  # a random part of so many tokens; without words
    batch_s: float = Field(240.0, gt=0)  # seconds of a micro-batch, padding included
    batch_clips: int = Field(256, ge=1)  # at most
    # Shuffled together; of two such windows, a rank holds its own clips, as FLAC.
    window_clips: int = Field(4096, ge=1)
    seed: int = Field(0, ge=0)


@dataclass(frozen=True, order=True)
class Stored:
    """Where the audio of a clip is."""

    file: int
    row: int
    message: int = 0  # of a conversation


@dataclass(frozen=True)
class Clip:
    """One stretch of speech."""

    id: str
    text: str
    speaker: str
    sound: Sound
    stored: Stored | None = field(default=None, compare=False)  # None: in no corpus

    @property
    def tokens(self) -> int:
        return len(self.sound.codes)

    def beginning(self, tokens: int) -> Clip:
        """Return the first so many tokens, without words unless that is all."""
        return self if self.tokens <= tokens else self.part(0, tokens)

    def part(self, first: int, tokens: int) -> Clip:
        """Return the tokens from `first` on, without words; the sound stays whole."""
        codes = self.sound.codes[first : first + tokens]
        return replace(self, text="", sound=replace(self.sound, codes=codes))


@dataclass(frozen=True)
class ClipBatch:
    """Clips of like length, filled up with silence and token 0."""

    ids: tuple[str, ...]
    units: int  # milliseconds of audio, without what was filled up
    texts: tuple[str, ...]
    sample_rate: int
    audio: Tensor  # float32 (clips, samples), samples those of the most tokens
    samples: Tensor  # int64 (clips,)
    tokens: Tensor  # int64 (clips, tokens)
    token_counts: Tensor  # int64 (clips,)

    def to(self, device: torch.device) -> Self:
        tensors = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("audio", "samples", "tokens", "token_counts")
        }
        return replace(self, **tensors)

    def first(self, count: int) -> ClipBatch:
        """Return a batch of the first `count` clips."""
        return replace(
            self,
            ids=self.ids[:count],
            units=int(self.token_counts[:count].sum()) * TOKEN_MS,
            texts=self.texts[:count],
            audio=self.audio[:count],
            samples=self.samples[:count],
            tokens=self.tokens[:count],
            token_counts=self.token_counts[:count],
        )


@dataclass(frozen=True)
class _Place:
    """Where a window starts: the `file`-th of the epoch's order, at a row of it."""

    epoch: int = 0
    file: int = 0
    row: int = 0


@dataclass(frozen=True)
class _Window:
    batches: list[list[Clip]]  # of all ranks, without audio
    heard: dict[int, list[Clip]]  # of this rank, by number: with audio
    after: _Place


class ClipBatches(Batches[ClipBatch]):
    """Micro-batches of clips of a corpus, the part of one rank."""

    def __init__(
        self, corpus: Corpus, settings: ClipSettings, sample_rate: int, share: Share = ALONE
    ) -> None:
        self.corpus, self.settings = corpus, settings
        self.sample_rate, self.share = sample_rate, share
        self._plan = Corpus(corpus.files, corpus.splits, audio=False)
        self._plan.problems = corpus.problems
        self._place = _Place()
        self._next = 0  # where the next round of all ranks begins, counted from the window's start
        self._window: _Window | None = None
        self._reader: ThreadPoolExecutor | None = None  # of the window behind the one at hand
        self._ahead: Future[_Window] | None = None

    def __next__(self) -> ClipBatch:
        mine = self._next + self.share.rank
        while mine >= (size := len((window := self._at_hand(mine)).batches)):
            self._place, self._window = window.after, None
            self._next, mine = self._next - size, mine - size
        self._next += self.share.world
        # A micro-batch without one readable clip is replaced by the next that has one.
        for number in (*range(mine, size), *range(mine)):
            clips = window.heard.get(number)
            if clips is None:  # another rank's, or from before this run went on
                (clips,) = self._heard([window.batches[number]])
            if (batch := self._made(clips)) is not None:
                return batch
        raise DataError(f"{self.corpus.files.place}: no audio of {size} batches is readable")

    def state(self) -> dict[str, Any]:
        place = self._place
        return {
            "files": self.corpus.files.digest,
            "window": [place.epoch, place.file, place.row],
            "next": self._next,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue behind a state; raises DataError when the corpus has other files now."""
        if state["files"] != self.corpus.files.digest:
            raise DataError(f"{self.corpus.files.place} has other files than when this run began")
        self._place, self._window = _Place(*state["window"]), None
        self._next = state["next"]
        self.close()

    def close(self) -> None:
        if self._reader is not None:
            self._reader.shutdown(wait=False, cancel_futures=True)
        self._reader = self._ahead = None

    def problems(self) -> Mapping[str, int]:
        return self.corpus.problems.counts

    def _at_hand(self, mine: int) -> _Window:
        """Return the window, reading it if need be; `mine` is the next micro-batch wanted of it."""
        if self._window is None:
            ahead = self._ahead
            window = self._read(self._place, mine) if ahead is None else ahead.result()
            if self._reader is None:
                self._reader = ThreadPoolExecutor(1, thread_name_prefix="wavemill-clips")
            following = (mine - len(window.batches)) % self.share.world
            self._ahead = self._reader.submit(self._read, window.after, following)
            self._window = window
        return self._window

    def _read(self, start: _Place, first: int) -> _Window:
        """Return a window, of which this rank's micro-batches are every `world`-th from `first`."""
        clips, after = self._planned(start)
        rng = np.random.default_rng((self.settings.seed, start.epoch, start.file, start.row))
        batches = cut(clips, self.settings, rng)
        mine = range(first, len(batches), self.share.world)
        heard = self._heard([batches[number] for number in mine])
        return _Window(batches, dict(zip(mine, heard, strict=True)), after)

    def _planned(self, start: _Place) -> tuple[list[Clip], _Place]:
        """Return a window's clips and where the next one starts; a window ends with its epoch."""
        order = np.random.default_rng((self.settings.seed, start.epoch)).permutation(
            len(self.corpus.files.files)
        )
        clips: list[Clip] = []
        row = start.row
        for file in range(start.file, len(order)):
            for clip, next_row in _clips_in(self._plan, int(order[file]), self.settings, row):
                clips.append(clip)
                if len(clips) >= self.settings.window_clips:
                    return clips, _Place(start.epoch, file, next_row)
            row = 0
        if not clips and start == _Place(start.epoch):
            raise DataError(f"{self.corpus.files.place}: no clip to learn from{_why(self)}")
        return clips, _Place(start.epoch + 1)

    def _heard(self, batches: Sequence[Sequence[Clip]]) -> list[list[Clip]]:
        """Return micro-batches with their audio; a clip that has none is left out."""
        files, problems = self.corpus.files, self.corpus.problems
        places = [clip.stored for clips in batches for clip in clips if clip.stored is not None]
        sounds = stored_audio(files, self.settings.corpus, places, problems)
        heard: list[list[Clip]] = [[] for _ in batches]
        for mine, clips in zip(heard, batches, strict=True):
            for clip in clips:
                data = None if clip.stored is None else sounds.get(clip.stored)
                if data:
                    mine.append(replace(clip, sound=replace(clip.sound, data=data)))
                elif data is not None and clip.stored is not None:
                    problems.add("no_audio", f"{files.files[clip.stored.file].name} {clip.id}")
        return heard

    def _made(self, clips: Sequence[Clip]) -> ClipBatch | None:
        settings = self.settings
        seeds = [(settings.seed, self._place.epoch, zlib.crc32(clip.id.encode())) for clip in clips]
        cropped = [_cropped(c, settings.crop_tokens, s) for c, s in zip(clips, seeds, strict=True)]
        return batch_of(cropped, self.sample_rate, self.corpus.problems)


def cut(
    clips: Sequence[Clip], settings: ClipSettings, rng: np.random.Generator
) -> list[list[Clip]]:
    """Return micro-batches of like length, in random order."""
    shuffled = [clips[i] for i in rng.permutation(len(clips))]
    by_length = sorted(shuffled, key=lambda clip: _used_tokens(clip, settings))
    batches: list[list[Clip]] = []
    room = settings.batch_s * TOKENS_PER_SECOND
    for clip in by_length:
        held = batches[-1] if batches else []
        fits = (len(held) + 1) * _used_tokens(clip, settings) <= room
        if held and fits and len(held) < settings.batch_clips:
            held.append(clip)
        else:
            batches.append([clip])
    return [batches[i] for i in rng.permutation(len(batches))]


def clips_of(corpus: Corpus, settings: ClipSettings) -> Iterator[Clip]:
    """Yield all clips that the settings want, in the order of the corpus."""
    for file in range(len(corpus.files.files)):
        for clip, _ in _clips_in(corpus, file, settings, 0):
            yield clip


def batch_of(
    clips: Sequence[tuple[Clip, int] | Clip], sample_rate: int, problems: Problems
) -> ClipBatch | None:
    """Decode clips, or the parts of them that begin at a token: a batch, None when none is left.

    A clip whose audio cannot be decoded, or is shorter than its tokens by more than one, is a
    problem and left out.
    """
    per_token = round(sample_rate * TOKEN_MS / 1000)
    kept: list[tuple[Clip, np.ndarray]] = []
    for entry in clips:
        clip, first = entry if isinstance(entry, tuple) else (entry, 0)
        try:
            audio = waveform_of(clip.sound.data, sample_rate)
        except SoundError as error:
            problems.add("corrupted_audio", clip.id, str(error).splitlines()[0])
            continue
        audio = audio[first * per_token :][: clip.tokens * per_token]
        if too_short(len(audio), clip.tokens, per_token):
            problems.add("audio_shorter_than_tokens", clip.id)
            continue
        kept.append((clip, audio))
    if not kept:
        return None
    longest = max(clip.tokens for clip, _ in kept)
    sound = torch.zeros(len(kept), longest * per_token)
    tokens = torch.zeros(len(kept), longest, dtype=torch.int64)
    for row, (clip, audio) in enumerate(kept):
        sound[row, : len(audio)] = torch.from_numpy(audio)
        tokens[row, : clip.tokens] = torch.from_numpy(clip.sound.codes.astype(np.int64))
    counts = torch.tensor([clip.tokens for clip, _ in kept])
    return ClipBatch(
        ids=tuple(clip.id for clip, _ in kept),
        units=int(counts.sum()) * TOKEN_MS,
        texts=tuple(clip.text for clip, _ in kept),
        sample_rate=sample_rate,
        audio=sound,
        samples=torch.tensor([len(audio) for _, audio in kept]),
        tokens=tokens,
        token_counts=counts,
    )


def stored_audio(
    files: Files, kind: str, places: Sequence[Stored], problems: Problems
) -> dict[Stored, bytes]:
    """Read stored audio, of the row groups that hold some of it; b"" where a row has none.

    A file or row group that cannot be read is a problem, and what was wanted of it is not there.
    """
    found: dict[Stored, bytes] = {}
    for number, wanted in groupby(sorted(places), lambda place: place.file):
        name = files.files[number].name
        try:
            with open_file(name) as opened, pq.ParquetFile(opened) as file:
                found |= _audio_in(file, name, kind, list(wanted), problems)
        except (OSError, pa.ArrowException) as error:
            problems.add("corrupted_file", name, _line(error))
    return found


def _audio_in(
    file: pq.ParquetFile, name: str, kind: str, places: Sequence[Stored], problems: Problems
) -> dict[Stored, bytes]:
    # The id is always there; without any column, a table has no rows either.
    columns = ["segment_id", "audio.bytes"]
    if kind == "sft":
        columns = ["sample_id", "messages.list.element.audio.bytes"]
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    ends = np.cumsum(sizes)
    found: dict[Stored, bytes] = {}
    for group, some in groupby(places, lambda p: int(np.searchsorted(ends, p.row, side="right"))):
        wanted, first = list(some), int(ends[group]) - sizes[group]
        try:
            table = file.read_row_group(group, columns=columns)
            rows = table.take([place.row - first for place in wanted]).to_pylist()
        except (OSError, pa.ArrowException) as error:
            problems.add("corrupted_row_group", f"{name} row group {group}", _line(error))
            continue
        for place, row in zip(wanted, rows, strict=True):
            if kind == "sft":
                row = row["messages"][place.message] if "messages" in row else {}
            found[place] = (row.get("audio") or {}).get("bytes") or b""
    return found


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _clips_in(
    corpus: Corpus, file: int, settings: ClipSettings, start: int
) -> Iterator[tuple[Clip, int]]:
    """Yield the wanted clips of a file and the row behind each."""
    shortest = settings.shortest_s * TOKENS_PER_SECOND
    longest = settings.longest_s * TOKENS_PER_SECOND
    for clip, next_row in _all_in(corpus, file, settings.corpus, start):
        if settings.speaker is not None and clip.speaker != settings.speaker:
            continue
        if not shortest <= clip.tokens <= longest:
            corpus.problems.add("too_long" if clip.tokens > longest else "too_short", clip.id)
            continue
        yield clip, next_row


def _all_in(corpus: Corpus, file: int, kind: str, start: int) -> Iterator[tuple[Clip, int]]:
    if kind == "pretrain":
        for segment in corpus.segments(file, start):
            stored = Stored(file, segment.row)
            clip = Clip(segment.segment_id, segment.text, segment.speaker, segment.sound, stored)
            yield clip, segment.row + 1
        return
    for conversation in corpus.conversations(file, start):
        if (found := _recognised(conversation)) is not None:
            message, sound = found
            text = conversation.messages[-1].text or ""
            stored = Stored(file, conversation.row, message)
            yield Clip(conversation.sample_id, text, "", sound, stored), conversation.next_row


def _recognised(conversation: Conversation) -> tuple[int, Sound] | None:
    """Return the sound whose transcript is the answer, and which message it is; None elsewhere."""
    sounds = [
        (number, message.sound)
        for number, message in enumerate(conversation.messages)
        if message.role == "user" and message.sound is not None
    ]
    return sounds[0] if conversation.task == "asr" and len(sounds) == 1 else None


def _used_tokens(clip: Clip, settings: ClipSettings) -> int:
    return min(clip.tokens, settings.crop_tokens or clip.tokens)


def _cropped(clip: Clip, length: int | None, seed: tuple[int, ...]) -> tuple[Clip, int]:
    """Return a clip, or a random part of it without its words, and the token it begins with."""
    if length is None or clip.tokens <= length:
        return clip, 0
    first = int(np.random.default_rng(seed).integers(clip.tokens - length + 1))
    return clip.part(first, length), first


def _why(batches: ClipBatches) -> str:
    settings, counts = batches.settings, batches.problems()
    reasons = [f"{count} {reason}" for reason, count in counts.items()]
    if settings.speaker is not None:
        reasons.append(f"only speaker {settings.speaker!r} is wanted")
    return f" ({', '.join(reasons)})" if reasons else ""
