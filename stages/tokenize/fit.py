"""Fit a codebook of semantic tokens to one's own audio.

    python -m wavemill.stages.tokenize.fit --out codebook.npz FOLDER...
    wavemill curate ... --set tokenize.kmeans.codebook=codebook.npz

The codebook that ships with the package comes from this command, in the repository root, with the
folder of real recordings beside it (some digits are left out, for experiments to be judged by):

    python -m wavemill.stages.tokenize.fit --out stages/tokenize/codebook.npz \\
        --exclude '_([0-4]|2[5-9]|[34][0-9])[.]wav$' \\
        examples/recordings ../shared/audio/read ../shared/audio/meetings \\
        ../shared/audio/mandarin ../shared/audio/digits ../shared/audio/noise \\
        ../shared/audio/events ../shared/audio/music

The command is also written into the file. Size: see `FitSettings`.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wavemill.model.tokenizer.kmeans import (
    FRAMES_PER_TOKEN,
    HOP,
    N_MELS,
    SAMPLE_RATE,
    log_mel,
    normalise,
)
from wavemill.stages.tokenize.codebook import Codebook, save_codebook

PIECE_SAMPLES = 20 * SAMPLE_RATE  # normalised at once: as long as a long segment
ROWS_AT_ONCE = 8192  # bounds memory while vectors are assigned


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How a codebook is fitted."""

    # Tokens in the vocabulary. Root mean squared error in dB on recordings that were held out,
    # speech / digits: 512 tokens 6.76 / 5.03, 1024 tokens 6.58 / 4.64, 2048 tokens 6.45 / 4.30
    # (the levels themselves vary by 13.1 / 9.2). 2048 take 1.2 MB; the package's limit is 2 MB.
    size: int = 2048
    seed: int = 0
    iterations: int = 40  # at most; stops when no vector changes its centroid
    max_vectors: int = 1_000_000  # a random sample of so many is kept: 1.3 GB


@dataclass(frozen=True, slots=True)
class Fit:
    """What k-means found."""

    centroids: np.ndarray  # float32 (size, width)
    vectors: int  # it was fitted to
    rmse: float  # root of the mean squared distance per dimension (dB)


def fit_codebook(clips: Iterable[np.ndarray], settings: FitSettings, command: str = "") -> Codebook:
    """Fit a codebook to clips, float32 (samples,) at 16 kHz; depends on them, in order, and seed.

    Raises ValueError when there are fewer different vectors than tokens.
    """
    rng = np.random.default_rng(settings.seed)
    vectors = sample_vectors((shifted_stacks(clip) for clip in clips), settings.max_vectors, rng)
    fit = kmeans(vectors, settings, rng)
    metadata = {
        "command": command,
        "size": settings.size,
        "seed": settings.seed,
        "vectors": fit.vectors,
        "rmse_db": round(fit.rmse, 3),
    }
    return Codebook(fit.centroids, metadata)


def shifted_stacks(clip: np.ndarray) -> np.ndarray:
    """Return the normalised stacks that begin at each frame: (frames - 3, width), float32.

    A token may begin anywhere in a sound, so stacks begin every 20 ms here, not every 80.
    """
    frames = len(clip) // HOP
    if frames < FRAMES_PER_TOKEN:
        return np.zeros((0, FRAMES_PER_TOKEN * N_MELS), np.float32)
    normal = normalise(log_mel(clip, frames))
    windows = np.lib.stride_tricks.sliding_window_view(normal, FRAMES_PER_TOKEN, axis=0)
    return windows.transpose(0, 2, 1).reshape(len(windows), -1)


def sample_vectors(parts: Iterable[np.ndarray], limit: int, rng: np.random.Generator) -> np.ndarray:
    """Return a uniform random sample of at most `limit` rows of `parts`, (rows, width).

    Every row draws a number and the smallest stay, so memory is bounded by twice the sample.
    """
    kept: list[np.ndarray] = []
    draws: list[np.ndarray] = []
    held = 0
    for part in parts:
        kept.append(part)
        draws.append(rng.random(len(part)))
        held += len(part)
        if held > 2 * limit:
            kept, draws, held = _smallest(kept, draws, limit)
    if not held:
        raise ValueError("there is no audio to fit a codebook to")
    return _smallest(kept, draws, limit)[0][0]


def _smallest(
    kept: list[np.ndarray], draws: list[np.ndarray], limit: int
) -> tuple[list[np.ndarray], list[np.ndarray], int]:
    rows, numbers = np.concatenate(kept), np.concatenate(draws)
    chosen = np.sort(np.argsort(numbers, kind="stable")[:limit])
    return [rows[chosen]], [numbers[chosen]], len(chosen)


def kmeans(vectors: np.ndarray, settings: FitSettings, rng: np.random.Generator) -> Fit:
    """Run Lloyd's k-means from a random choice of different vectors; empty clusters are revived.

    The sample is bounded, so whole passes over it are affordable: unlike mini-batches they
    end at an optimum, and lose no vector.
    """
    different = np.unique(vectors, axis=0)
    if len(different) < settings.size:
        raise ValueError(
            f"{len(different)} different vectors are too few for {settings.size} tokens; "
            "remedy: more audio or a smaller --size"
        )
    centroids = different[np.sort(rng.choice(len(different), settings.size, replace=False))]
    labels = np.full(len(vectors), -1, np.int64)
    for _ in range(settings.iterations):
        before = labels
        labels, distances = assign(vectors, centroids)
        if np.array_equal(labels, before):
            break
        centroids = _means(vectors, labels, distances, settings.size)
    _, distances = assign(vectors, centroids)
    rmse = float(np.sqrt(distances.mean() / vectors.shape[1]))
    return Fit(centroids, len(vectors), rmse)


def assign(vectors: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each vector its nearest centroid (int64) and the squared distance (float64)."""
    labels = np.empty(len(vectors), np.int64)
    distances = np.empty(len(vectors))
    norms = np.sum(centroids.astype(np.float64) ** 2, axis=1)
    for first in range(0, len(vectors), ROWS_AT_ONCE):
        block = vectors[first : first + ROWS_AT_ONCE]
        partial = norms - 2.0 * (block @ centroids.T)
        nearest = np.argmin(partial, axis=1)
        labels[first : first + len(block)] = nearest
        own = np.sum(block.astype(np.float64) ** 2, axis=1)
        distances[first : first + len(block)] = np.maximum(
            partial[np.arange(len(block)), nearest] + own, 0.0
        )
    return labels, distances


def _means(vectors: np.ndarray, labels: np.ndarray, distances: np.ndarray, size: int) -> np.ndarray:
    """Return the mean of each cluster; an empty one takes the vector that is served worst."""
    counts = np.bincount(labels, minlength=size)
    order = np.argsort(labels, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    filled = counts > 0
    means = np.empty((size, vectors.shape[1]), np.float32)
    sums = np.add.reduceat(vectors[order].astype(np.float64), starts[filled], axis=0)
    means[filled] = sums / counts[filled, None]
    empty = np.flatnonzero(~filled)
    if len(empty):
        means[empty] = vectors[np.argsort(-distances, kind="stable")[: len(empty)]]
    return means


def clips_of(paths: Sequence[Path], exclude: re.Pattern[str] | None) -> Iterator[np.ndarray]:
    """Yield the audio under `paths` in pieces of 20 s: float32 (samples,), mono, 16 kHz.

    Files come in the order of their names; what cannot be decoded is named and left out.
    """
    from wavemill.stages.audio.decode import open_audio
    from wavemill.stages.audio.mixing import tracks_of
    from wavemill.stages.audio.resample import rechunk, resample_stream
    from wavemill.stages.recording_stage import RecordingError

    for file in files_under(paths, exclude):
        try:
            with open_audio(str(file)) as audio:
                mono = tracks_of(audio, "mix", audio.sample_rate).blocks
                resampled = resample_stream(mono, audio.sample_rate, SAMPLE_RATE)
                yield from (block[0] for block in rechunk(resampled, PIECE_SAMPLES))
        except RecordingError as error:
            print(f"left out: {file}: {error.message}", file=sys.stderr)


def files_under(paths: Sequence[Path], exclude: re.Pattern[str] | None) -> list[Path]:
    """Return files, and the files in folders, each once, by name.

    Left out is what `exclude` finds, and what by its name is no audio (text, tables).
    """
    files = (file for path in paths for file in (path.rglob("*") if path.is_dir() else [path]))
    return sorted(
        file
        for file in set(files)
        if file.suffix.lower() in AUDIO_SUFFIXES and not (exclude and exclude.search(str(file)))
    )


AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".opus", ".ogg", ".m4a", ".aac", ".mp4", ".mkv", ".webm", ".sph"}
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="python -m wavemill.stages.tokenize.fit", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("paths", nargs="+", type=Path, metavar="FOLDER", help="folders or files")
    parser.add_argument("--out", required=True, type=Path, help="the codebook to write (.npz)")
    parser.add_argument("--size", type=int, default=FitSettings().size, help="number of tokens")
    parser.add_argument("--seed", type=int, default=FitSettings().seed)
    parser.add_argument("--exclude", type=re.compile, help="regular expression on paths")
    options = parser.parse_args(given)
    settings = FitSettings(size=options.size, seed=options.seed)
    command = shlex.join(["python", "-m", "wavemill.stages.tokenize.fit", *given])
    try:
        codebook = fit_codebook(clips_of(options.paths, options.exclude), settings, command)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    save_codebook(options.out, codebook)
    facts = codebook.metadata
    print(
        f"{options.out}: {facts['size']} tokens from {facts['vectors']} stacks, "
        f"error {facts['rmse_db']} dB, {options.out.stat().st_size / 1e6:.2f} MB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
