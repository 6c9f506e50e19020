"""Micro-batches of clips, the part of one rank, in a seeded order.

Files are shuffled, then the clips of a window of so many rows; within it, clips of similar length
make a micro-batch. Every rank reads all rows of a window without their audio, and so knows the
micro-batches of all ranks; it reads the audio of its own clips alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wavemill.model.data.clips import (
    ClipBatch,
    ClipSettings,
    SpeechClip,
    batch_of,
    clips_in,
    cut,
    prompted,
)
from wavemill.model.data.corpus import Corpus
from wavemill.model.data.files import stored_audio
from wavemill.model.data.source import Batches, DataError, Share

ALONE = Share()


@dataclass(frozen=True)
class _WindowStart:
    """Where a window starts: the `file`-th of the epoch's order, at a row of it."""

    epoch: int = 0
    file: int = 0
    row: int = 0


@dataclass(frozen=True)
class _ClipWindow:
    batches: list[list[SpeechClip]]  # of all ranks, without audio
    own: dict[int, list[SpeechClip]]  # this rank's, by number: with audio
    after: _WindowStart


class ClipBatches(Batches[ClipBatch]):
    """Micro-batches of clips of a corpus, the part of one rank."""

    def __init__(
        self, corpus: Corpus, settings: ClipSettings, sample_rate: int, share: Share = ALONE
    ) -> None:
        self.corpus, self.settings = corpus, settings
        self.sample_rate, self.share = sample_rate, share
        self._plan = Corpus(corpus.files, corpus.splits, audio=False)
        self._plan.problems = corpus.problems
        self._place = _WindowStart()
        self._next = 0  # where the next round of all ranks begins, counted from the window's start
        self._window: _ClipWindow | None = None
        self._reader: ThreadPoolExecutor | None = None  # of the window behind the one at hand
        self._ahead: Future[_ClipWindow] | None = None

    def __next__(self) -> ClipBatch:
        mine = self._next + self.share.rank
        while mine >= (size := len((window := self._at_hand(mine)).batches)):
            self._place, self._window = window.after, None
            self._next, mine = self._next - size, mine - size
        self._next += self.share.world
        # A micro-batch without one readable clip is replaced by the next that has one.
        for number in (*range(mine, size), *range(mine)):
            clips = window.own.get(number)
            if clips is None:  # another rank's, or from before this run went on
                (clips,) = self._with_audio([window.batches[number]])
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
        self._place, self._window = _WindowStart(*state["window"]), None
        self._next = state["next"]
        self.close()

    def close(self) -> None:
        if self._reader is not None:
            self._reader.shutdown(wait=False, cancel_futures=True)
        self._reader = self._ahead = None

    def problems(self) -> Mapping[str, int]:
        return self.corpus.problems.counts

    def _at_hand(self, mine: int) -> _ClipWindow:
        """Return the current window, read if necessary; `mine` is the rank's next batch in it."""
        if self._window is None:
            ahead = self._ahead
            window = self._read(self._place, mine) if ahead is None else ahead.result()
            if self._reader is None:
                self._reader = ThreadPoolExecutor(1, thread_name_prefix="wavemill-clips")
            following = (mine - len(window.batches)) % self.share.world
            self._ahead = self._reader.submit(self._read, window.after, following)
            self._window = window
        return self._window

    def _read(self, start: _WindowStart, first: int) -> _ClipWindow:
        """Return a window, of which this rank's micro-batches are every `world`-th from `first`."""
        clips, after = self._planned(start)
        rng = np.random.default_rng((self.settings.seed, start.epoch, start.file, start.row))
        batches = cut(clips, self.settings, rng)
        if self.settings.prompt_share:
            batches = prompted(batches, self.settings, rng)
        mine = range(first, len(batches), self.share.world)
        read = self._with_audio([batches[number] for number in mine])
        return _ClipWindow(batches, dict(zip(mine, read, strict=True)), after)

    def _planned(self, start: _WindowStart) -> tuple[list[SpeechClip], _WindowStart]:
        """Return a window's clips and where the next one starts; a window ends with its epoch."""
        order = np.random.default_rng((self.settings.seed, start.epoch)).permutation(
            len(self.corpus.files.files)
        )
        clips: list[SpeechClip] = []
        row = start.row
        for file in range(start.file, len(order)):
            ended = row  # behind the last clip: several may be in one row, and stay together
            for clip, next_row in clips_in(self._plan, int(order[file]), self.settings, row):
                if len(clips) >= self.settings.window_clips and next_row != ended:
                    return clips, _WindowStart(start.epoch, file, ended)
                clips.append(clip)
                ended = next_row
            row = 0
        if not clips and start == _WindowStart(start.epoch):
            raise DataError(f"{self.corpus.files.place}: no clip to learn from{_why(self)}")
        return clips, _WindowStart(start.epoch + 1)

    def _with_audio(self, batches: Sequence[Sequence[SpeechClip]]) -> list[list[SpeechClip]]:
        """Return micro-batches with their audio; a clip that has none is left out."""
        files, problems = self.corpus.files, self.corpus.problems
        wanted = [clip for clips in batches for clip in clips]
        wanted += [clip.prompt.clip for clip in wanted if clip.prompt is not None]
        places = list({clip.stored for clip in wanted if clip.stored is not None})
        sounds = stored_audio(files, self.settings.corpus, places, problems)

        def sounding(clip: SpeechClip) -> SpeechClip | None:
            data = None if clip.stored is None else sounds.get(clip.stored)
            if data:
                return replace(clip, sound=replace(clip.sound, data=data))
            if data is not None and clip.stored is not None:
                problems.add("no_audio", f"{files.files[clip.stored.file].name} {clip.id}")
            return None

        read: list[list[SpeechClip]] = [[] for _ in batches]
        for mine, clips in zip(read, batches, strict=True):
            for clip in clips:
                if (found := sounding(clip)) is None:
                    continue
                if found.prompt is not None:
                    before = sounding(found.prompt.clip)
                    prompt = None if before is None else replace(found.prompt, clip=before)
                    found = replace(found, prompt=prompt)
                mine.append(found)
        return read

    def _made(self, clips: Sequence[SpeechClip]) -> ClipBatch | None:
        settings = self.settings
        seeds = [(settings.seed, self._place.epoch, zlib.crc32(clip.id.encode())) for clip in clips]
        cropped = [_cropped(c, settings.crop_tokens, s) for c, s in zip(clips, seeds, strict=True)]
        return batch_of(cropped, self.sample_rate, self.corpus.problems)


def _cropped(clip: SpeechClip, length: int | None, seed: tuple[int, ...]) -> tuple[SpeechClip, int]:
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
