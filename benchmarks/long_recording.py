"""One long recording beside the same audio in files of a minute: speed and memory of the workers.

    python -m benchmarks.long_recording --minutes 12 --workers 2

Both are built by `wavemill curate`'s own function on Ray, one after the other, with Ray started
and the engines of the embedded profile; `--minutes 60` compares an hour in one file with sixty
files of a minute. `--only long` measures the memory for a length such as 600 minutes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import soundfile

from benchmarks.curate import stage_seconds
from benchmarks.material import GAIN_STEP, ROOT, audio_folder

RATE = 16_000  # Hz
MINUTE = 60 * RATE  # samples
CHILD = "wavemill.pipeline.execution.child"


def audio(minutes: int) -> np.ndarray:
    """Return float32 (samples,) at RATE: meetings, or else the examples, in turn."""
    sources = sorted((audio_folder() / "meetings").glob("*.flac"))
    sources = sources or sorted((ROOT / "examples" / "recordings").glob("*.flac"))
    parts: list[np.ndarray] = []
    length = 0
    for number, source in enumerate(itertools.cycle(sources)):
        samples, rate = soundfile.read(source, dtype="float32", always_2d=True)
        if rate != RATE:
            continue
        parts.append(samples.mean(axis=1) * np.float32(GAIN_STEP ** (number // len(sources))))
        length += len(samples)
        if length >= minutes * MINUTE:
            return np.concatenate(parts)[: minutes * MINUTE]
    raise AssertionError("unreachable")


class MemoryWatch:
    """The most memory that one child of a worker has had, in MB without mapped files."""

    def __init__(self) -> None:
        self.most_mb = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> float:
        self._ended.set()
        self._thread.join()
        return self.most_mb

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            for process in psutil.Process().children(recursive=True):
                try:
                    if CHILD in process.cmdline():
                        info = process.memory_info()
                        self.most_mb = max(self.most_mb, (info.rss - info.shared) / 1e6)
                except psutil.Error:
                    continue


@dataclass(frozen=True)
class Figures:
    """What was measured of one build."""

    seconds: float
    most_mb: float
    cpu: Counter[str]

    def print(self, name: str, minutes: int, workers: int) -> None:
        """Print one line."""
        total = sum(self.cpu.values())
        print(
            f"{name:22} {self.seconds:7.1f} s  {minutes * 60 / self.seconds:5.1f} x real time, "
            f"CPU in stages {total:6.1f} s ({total / self.seconds / workers:4.0%} of the workers), "
            f"largest child {self.most_mb:5.0f} MB"
        )


def measure(folder: Path, out: Path, workers: int) -> Figures:
    """Build a corpus of a folder."""
    from wavemill.pipeline.build import build_corpus
    from wavemill.pipeline.config import load_config
    from wavemill.pipeline.curation import Config
    from wavemill.pipeline.execution.ray_session import ray_session

    config = load_config(Config, overrides=[f"execution.workers={workers}"])
    with ray_session(config.execution):
        watch, started = MemoryWatch(), time.perf_counter()
        build_corpus([str(folder)], str(out), config, "benchmarks.long_recording")
        seconds = time.perf_counter() - started
    return Figures(seconds, watch.end(), stage_seconds(out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=int, default=60, help="of audio (default: 60)")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--only", choices=("long", "short"), help="one of the two builds")
    options = parser.parse_args()
    minutes, workers = options.minutes, options.workers
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as scratch:
        samples = audio(minutes)
        for kind in ("short", "long"):
            if options.only not in (None, kind):
                continue
            folder = Path(scratch, kind)
            folder.mkdir()
            step = MINUTE if kind == "short" else len(samples)
            for number, first in enumerate(range(0, len(samples), step)):
                soundfile.write(folder / f"{number:04d}.flac", samples[first : first + step], RATE)
            found[kind] = measure(folder, Path(scratch, f"{kind}-work"), workers)
            name = f"{minutes} files of a minute" if kind == "short" else "one file"
            found[kind].print(name, minutes, workers)
    if len(found) == 2:
        print(f"ratio of speeds: {found['short'].seconds / found['long'].seconds:.2f}")
    for stage, seconds in found.get("long", next(iter(found.values()))).cpu.most_common(6):
        print(f"  {stage:14} {seconds / minutes / 60:.4f} CPU s per s")


if __name__ == "__main__":
    main()
