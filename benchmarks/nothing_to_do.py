"""What a command costs that has nothing to compute: CPU time and wall time of the best of runs.

    python -m benchmarks.nothing_to_do [--runs 7]

Two recordings of two seconds are curated once; then `wavemill --help` and the same `curate` are run
again and again. Modules are compiled to files of their own, as where Python may write beside them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from wavemill.stages.audio.flac import encode_flac

RATE = 16_000  # Hz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wavemill-nothing-") as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for seed in range(2):
            noise = np.random.default_rng(seed).standard_normal(2 * RATE).astype(np.float32)
            (folder / "in" / f"{seed}.flac").write_bytes(encode_flac(noise * 0.1, RATE))
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        again = ["curate", str(folder / "in"), "--out", str(folder / "work")]
        for words in (["--help"], again):
            run(words, environment)
            found = [run(words, environment) for _ in range(arguments.runs)]
            wall, cpu = (min(values) for values in zip(*found, strict=True))
            print(f"wavemill {words[0]:>8}{cpu:>8.2f} s of CPU time{wall:>8.2f} s", flush=True)


def run(words: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run a command of wavemill; returns its seconds and its CPU seconds."""
    began = time.perf_counter()
    call = [sys.executable, "-c", "from wavemill.jobs.cli import main; main()", *words]
    nowhere = [(os.POSIX_SPAWN_OPEN, out, os.devnull, os.O_WRONLY, 0) for out in (1, 2)]
    process = os.posix_spawn(sys.executable, call, environment, file_actions=nowhere)
    _, _, used = os.wait4(process, 0)
    return time.perf_counter() - began, used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
