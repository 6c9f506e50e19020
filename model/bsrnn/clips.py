"""Audio files for training: found once, read in random pieces, so that no set is held in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

SUFFIXES = {".wav", ".flac", ".ogg", ".mp3"}
SHORTEST = 0.1  # seconds; shorter files are left out


@dataclass(frozen=True)
class Clip:
    """One audio file; times in its own samples."""

    path: Path
    sample_rate: int
    frames: int

    @property
    def seconds(self) -> float:
        return self.frames / self.sample_rate

    def read(self, start: float, seconds: float, sample_rate: int) -> np.ndarray:
        """Return float32 (round(seconds * sample_rate),), less at the end; channels are mixed."""
        import soundfile
        import soxr

        first = int(start * self.sample_rate)
        count = int(np.ceil(seconds * self.sample_rate)) + 1
        samples, rate = soundfile.read(
            self.path, frames=count, start=first, dtype="float32", always_2d=True
        )
        mono = samples.mean(axis=1)
        at_rate = mono if rate == sample_rate else soxr.resample(mono, rate, sample_rate)
        return np.asarray(at_rate[: round(seconds * sample_rate)], np.float32)


@dataclass(frozen=True)
class ClipSet:
    """Groups of clips, one per folder named: each group is as likely as any other.

    Within a group a clip is as likely as it is long. So a folder of thousands of short files does
    not drown one of a few long ones.
    """

    groups: tuple[tuple[Clip, ...], ...]

    @property
    def clips(self) -> list[Clip]:
        return [clip for group in self.groups for clip in group]

    def piece(self, rng: np.random.Generator, seconds: float, sample_rate: int) -> np.ndarray:
        """Return float32 (round(seconds * sample_rate),): a random part of a random clip.

        Clips that are too short are followed by others of their group, each at its own level.
        """
        group = self.groups[rng.integers(len(self.groups))]
        weights = np.array([clip.seconds for clip in group])
        wanted = round(seconds * sample_rate)
        parts: list[np.ndarray] = []
        missing = wanted
        while missing > 0:
            clip = group[rng.choice(len(group), p=weights / weights.sum())]
            length = missing / sample_rate
            start = rng.uniform(0, max(clip.seconds - length, 0))
            part = clip.read(start, length, sample_rate)[:missing]
            if not part.size:
                raise ValueError(f"{clip.path} holds less audio than its header says")
            parts.append(part)
            missing -= part.size
        return np.concatenate(parts)


def find_clips(roots: Iterable[Path]) -> ClipSet:
    """Return the audio files under each root (a folder or one file), in order of their paths.

    Raises ValueError when a root has none or a file cannot be read.
    """
    groups = []
    for root in roots:
        paths = [root] if root.is_file() else sorted(root.rglob("*"))
        clips = [_opened(path) for path in paths if path.suffix.lower() in SUFFIXES]
        long_enough = tuple(clip for clip in clips if clip.seconds >= SHORTEST)
        if not long_enough:
            raise ValueError(f"no audio in {root}")
        groups.append(long_enough)
    return ClipSet(tuple(groups))


def split_clips(clips: ClipSet, held_out: Sequence[str]) -> tuple[ClipSet, ClipSet]:
    """Return (for training, held out): the second has the files whose name matches a pattern.

    `*` and `?` stand for anything; every other character, brackets too, for itself.
    """
    patterns = [pattern.replace("[", "[[]") for pattern in held_out]

    def chosen(wanted: bool) -> ClipSet:
        groups = (
            tuple(c for c in group if any(fnmatchcase(c.path.name, p) for p in patterns) == wanted)
            for group in clips.groups
        )
        return ClipSet(tuple(group for group in groups if group))

    return chosen(False), chosen(True)


def _opened(path: Path) -> Clip:
    import soundfile

    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"cannot read {path}: {error}") from None
    return Clip(path, info.samplerate, info.frames)
