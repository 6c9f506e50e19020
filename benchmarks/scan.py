"""Scanning a folder of many files: the first time by hash, again by stat, and after a kill.

    python -m benchmarks.scan [--files 1000000]

Sparse files of 4 KiB with a number in them and no audio, 1,000 a folder; a probe that opens nothing
stands for FFmpeg. Each scan is a process of its own with the WORKDIR's hash cache; `hashed` counts
the files that it read. The third scan begins without a cache and is killed (SIGKILL) after half the
time of the first, the fourth goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from wavemill.manifests.cache import HashCache
from wavemill.manifests.scan import scan_sources
from wavemill.pipeline.build import HASH_CACHE
from wavemill.pipeline.store import Store

PER_FOLDER, BYTES = 1_000, 4_096


@dataclass(frozen=True)
class Length:
    """What the probe says of every file."""

    duration_ms: int = 1_000
    channels: int = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--scan", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.scan:
        print(json.dumps(scan(arguments.scan)))
        return
    with tempfile.TemporaryDirectory(prefix="wavemill-scan-") as name:
        folder = Path(name)
        make_files(folder / "files", arguments.files)
        columns = ("scan", "recordings", "hashed", "wall", "CPU", "peak")
        print("".join(f"{column:>14}" for column in columns))
        first = show("first", folder)
        show("again", folder)
        (folder / "work" / HASH_CACHE).unlink()
        with subprocess.Popen(command(folder), stdout=subprocess.DEVNULL) as process:
            time.sleep(first / 2)
            process.kill()
        show("after a kill", folder)


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.scan", "--scan", str(folder)]


def show(kind: str, folder: Path) -> float:
    """Scan in a process of its own and print its figures; returns the seconds."""
    done = subprocess.run(command(folder), stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout)
    counts = "".join(f"{found[name]:>14,}" for name in ("recordings", "hashed"))
    times = "".join(f"{found[name]:>12.1f} s" for name in ("wall", "cpu"))
    print(f"{kind:>14}{counts}{times}{found['peak']:>10.0f} MiB", flush=True)
    return float(found["wall"])


def make_files(folder: Path, count: int) -> None:
    for number in range(count):
        if number % PER_FOLDER == 0:
            place = folder / f"{number // PER_FOLDER:06d}"
            place.mkdir(parents=True)
        descriptor = os.open(place / f"{number}.flac", os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, str(number).encode())
        os.ftruncate(descriptor, BYTES)
        os.close(descriptor)


def scan(folder: Path) -> dict[str, float]:
    """Scan the files with the cache in `work`; returns figures."""
    hashed, lock = [0], threading.Lock()

    def probe(_: str) -> Length:
        with lock:
            hashed[0] += 1
        return Length()

    began = time.perf_counter()
    cache = HashCache.load(Store.open(folder / "work"), HASH_CACHE)
    found = scan_sources([str(folder / "files")], probe, cache)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "recordings": len(found.recordings),
        "hashed": hashed[0],
        "wall": time.perf_counter() - began,
        "cpu": used.ru_utime + used.ru_stime,
        "peak": used.ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
