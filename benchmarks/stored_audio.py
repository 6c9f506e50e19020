"""What it costs each stage to open the audio that decode stored: FLAC to samples, then to 16 kHz.

    python -m benchmarks.stored_audio

CPU seconds per second of audio, of blocks of noise, which FLAC packs worst: the best of runs. It
bounds what a worker could gain by handing decoded audio on from stage to stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from wavemill.stages.audio.flac import decode_flac, encode_flac
from wavemill.stages.audio.resample import resample

SECONDS, RUNS = 60, 7
CLIP_RATE = 16_000  # Hz: what engines hear


def main() -> None:
    print(f"{'stored at':>10}{'decode':>12}{'resample':>12}")
    for rate in (16_000, 24_000, 48_000):
        noise = np.random.default_rng(0).standard_normal(rate * SECONDS).astype(np.float32) * 0.1
        block = encode_flac(noise, rate)
        costs = (
            best(lambda block=block: decode_flac(block)),
            best(lambda noise=noise, rate=rate: resample(noise, rate, CLIP_RATE)),
        )
        print(f"{rate:>7} Hz" + "".join(f"{cost:>12.5f}" for cost in costs))


def best(work: Callable[[], object]) -> float:
    """Return the least CPU seconds per second of audio."""
    found = []
    for _ in range(RUNS):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found) / SECONDS


if __name__ == "__main__":
    main()
