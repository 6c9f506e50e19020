"""What a format is, and the folder that it writes into."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from wavemill.pipeline.store import Store
from wavemill.stages.audio.flac import decode_flac
from wavemill.stages.audio.resample import resample

AudioFormat = Literal["flac", "wav"]
Row = Mapping[str, Any]  # of a corpus, as its schema says


@dataclass(frozen=True)
class AudioOptions:
    """How sound is written."""

    format: AudioFormat = "wav"
    rate: int | None = None  # Hz; None: as the corpus has it


@dataclass(frozen=True)
class Folder:
    """Where a part of an export puts its files: keys below `prefix` in a store."""

    store: Store
    prefix: str
    audio: AudioOptions

    def write_flac(self, name: str, flac: bytes) -> str:
        """Write a clip of a corpus; return its key. `name` has no ending."""
        samples, rate = decode_flac(flac)
        if self.audio.format == "flac" and self.audio.rate in (None, rate):
            return self._write(f"{name}.flac", flac)
        return self.write_samples(name, samples, rate)

    def write_samples(self, name: str, samples: NDArray[np.float32], rate: int) -> str:
        """Write float32 (samples,) or (samples, channels), 16 bit; return the key."""
        import soundfile

        wanted = self.audio.rate or rate
        if samples.ndim == 1:
            made = resample(samples, rate, wanted)
        else:
            tracks = [resample(track, rate, wanted) for track in np.ascontiguousarray(samples.T)]
            made = np.stack(tracks, axis=1)
        file = io.BytesIO()
        soundfile.write(file, made, wanted, format=self.audio.format.upper(), subtype="PCM_16")
        return self._write(f"{name}.{self.audio.format}", file.getvalue())

    def write_text(self, name: str, text: str) -> str:
        """Write a text file; return its key."""
        key = f"{self.prefix}/{name}"
        self.store.write_text(key, text)
        return key

    def _write(self, name: str, data: bytes) -> str:
        key = f"{self.prefix}/{name}"
        with self.store.replacing(key) as path:
            path.write_bytes(data)
        return key


class Format(ABC):
    """One format: which corpora it takes, and what it makes of a row."""

    name: ClassVar[str]
    title: ClassVar[str]  # for people: one line
    corpora: ClassVar[tuple[str, ...]]  # that have what it needs
    dropped: ClassVar[str]  # what it cannot carry, for people

    @abstractmethod
    def lines(self, row: Row, folder: Folder) -> Iterator[dict[str, Any]]:
        """Write the sound of a row, and yield its lines of data.jsonl; none: it has no place.

        Paths in lines are relative to data.jsonl, that is the keys of `folder`.
        """
