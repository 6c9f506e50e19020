"""Where the samples of a track come from: stored denoise blocks, or the source file itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np

from manifests.recording import Recording
from stages.audio.clock import sample_at
from stages.audio.decode import open_audio
from stages.audio.flac import decode_flac
from stages.audio.mixing import MAX_SAMPLE_RATE, tracks_of
from stages.audio.resample import rechunk
from stages.audio.source import check_unchanged
from stages.recording_stage import RecordingError, Upstream

BLOCK_MS = 60_000
HELD_BLOCKS = 2  # a segment that crosses a boundary needs two


class Blocks(ABC):
    """A track as a sequence of blocks, of which the latest few are held in memory."""

    def __init__(self, sample_rate: int, starts: list[int]) -> None:
        self.sample_rate = sample_rate
        self.starts = starts  # first sample of each block, ascending
        self._held: OrderedDict[int, np.ndarray] = OrderedDict()

    def block(self, index: int) -> np.ndarray:
        """Return block `index` as float32 (samples,); empty beyond the end of the audio."""
        if index not in self._held:
            self._held[index] = self.load(index)
            while len(self._held) > HELD_BLOCKS:
                self._held.popitem(last=False)
        self._held.move_to_end(index)
        return self._held[index]

    @abstractmethod
    def load(self, index: int) -> np.ndarray:
        """Fetch block `index`."""


class StoredBlocks(Blocks):
    """Blocks of the denoise table: one track, one version."""

    def __init__(
        self,
        upstream: Upstream,
        track: int,
        version: str,
        sample_rate: int,
        spans: list[tuple[int, int]],
    ) -> None:
        super().__init__(sample_rate, [sample_at(start, sample_rate) for start, _ in spans])
        self._upstream, self._track, self._version = upstream, track, version
        self._spans = spans

    def load(self, index: int) -> np.ndarray:
        start, end = self._spans[index]
        columns = ["track", "version", "start_ms", "audio"]
        for batch in self._upstream.batches("denoise", columns, between=(start, end)):
            tracks, versions, starts, audio = batch.columns
            for row in range(batch.num_rows):
                key = (tracks[row].as_py(), versions[row].as_py(), starts[row].as_py())
                if key == (self._track, self._version, start):
                    return decode_flac(audio[row].as_py())[0]
        raise LookupError(f"denoise has no block at {start} ms of track {self._track}")


class SourceBlocks(Blocks):
    """Blocks of a source file, mixed down, decoded forward; going back starts it anew."""

    def __init__(self, recording: Recording, sample_rate: int) -> None:
        count = max(1, -(-recording.duration_ms // BLOCK_MS))
        self._length = sample_at(BLOCK_MS, sample_rate)
        super().__init__(sample_rate, [index * self._length for index in range(count)])
        self._uri, self._recording_id = recording.uri, recording.recording_id
        self._blocks: Iterator[np.ndarray] = iter(())
        self._next = 0
        self._started = False

    def load(self, index: int) -> np.ndarray:
        if index < self._next or not self._started:
            self._blocks, self._next, self._started = self._decoded(), 0, True
        block = np.zeros(0, np.float32)
        try:
            while self._next <= index:
                block = next(self._blocks, np.zeros(0, np.float32))
                self._next += 1
            check_unchanged(self._uri, self._recording_id)
        except RecordingError:
            self._started = False  # asked again, it fails again
            raise
        return block

    def _decoded(self) -> Iterator[np.ndarray]:
        with open_audio(self._uri, None, self._recording_id) as audio:
            mono = tracks_of(audio.blocks, "mix", audio.sample_rate, MAX_SAMPLE_RATE)
            for block in rechunk(mono, self._length):
                yield block[0]


def source_blocks(recording: Recording) -> SourceBlocks:
    """Open the source of a labelled recording; raises RecordingError when it cannot be read."""
    with open_audio(recording.uri, None, recording.recording_id) as audio:
        return SourceBlocks(recording, min(audio.sample_rate, MAX_SAMPLE_RATE))
