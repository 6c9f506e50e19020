"""CPU time and error of DNSMOS by length of clip: shared windows in float32 and int8, and before.

    python -m benchmarks.dnsmos     # 2 minutes on one core

Run from the repository root. WAVEMILL_AUDIO names the folder of real recordings (default
`../shared/audio`): extracts of meetings, read speech with and without noise, rows of digits, noise.
Errors are against the published graph run on every window of a hop of 1 s. Figures: dnsmos.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import soundfile
import soxr

from benchmarks.material import audio_folder
from wavemill.stages.score_audio.dnsmos import (
    OVERALL,
    SAMPLE_RATE,
    WINDOW,
    Dnsmos,
    DnsmosConfig,
    model_file,
    repeated,
    window_starts,
)
from wavemill.stages.score_audio.dnsmos_network import HOP

AUDIO = audio_folder()
CALIBRATED_WITH = {"trn00", "trn01", "trn02"}  # meetings that set the ranges of int8
LENGTHS = (1.2, 20.0, 2.4, 9.5, 4.2, 7.2, 12.0)  # seconds, of extracts of meetings in turn
BANDS = ((1, 3), (3, 9), (9, 15), (15, 30), (1, 30))  # seconds
BATCH = 4  # windows per call
NOISE_DB = 5.0  # speech over noise


def main() -> None:
    clips = [np.clip(clip, -1, 1).astype(np.float32) for clip in real_clips()]
    found = {name: [timed(rate, clip) for clip in clips] for name, rate in ways().items()}
    lengths = np.array([clip.size / SAMPLE_RATE for clip in clips])
    plain = np.array([overall for overall, _ in found["every window, 1 s"]])
    print("| seconds | clips | way | CPU s per s | of before | error, mean | 95 % | bias |")
    print("|---" * 8 + "|")
    for low, high in BANDS:
        inside = (lengths >= low) & (lengths < high)
        before = sum(cpu for _, cpu in np.array(found["before: 5 s"])[inside])
        for name, rated in found.items():
            overall, cpu = np.array(rated)[inside].T
            error = overall - plain[inside]
            print(
                f"| {low} to {high} | {inside.sum()} | {name} "
                f"| {cpu.sum() / lengths[inside].sum():.3f} | {cpu.sum() / before:.2f} "
                f"| {np.abs(error).mean():.4f} | {np.quantile(np.abs(error), 0.95):.4f} "
                f"| {error.mean():+.4f} |",
                flush=True,
            )


def ways() -> dict[str, Callable[[np.ndarray], float]]:
    """Return what rates a clip, by name: overall MOS, the mean over its windows."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(model_file()), options, providers=["CPUExecutionProvider"]
    )
    engines = [Dnsmos(DnsmosConfig(precision=precision)) for precision in ("float32", "int8")]
    for engine in engines:
        engine.load("cpu")
    exact, whole = (lambda clip, e=engine: shared(e, clip) for engine in engines)
    return {
        "every window, 1 s": lambda clip: plainly(session, clip, 1.0),
        "before: 5 s": lambda clip: plainly(session, clip, 5.0),
        "float32, 1 s": exact,
        "int8, 1 s": whole,
    }


def shared(engine: Dnsmos, clip: np.ndarray) -> float:
    (quality,) = engine.quality([clip])
    assert quality is not None
    return quality.overall


def plainly(session: Any, clip: np.ndarray, hop_seconds: float) -> float:
    audio = repeated(clip)
    starts = [HOP * start for start in window_starts(len(audio), hop_seconds)]
    windows = [audio[start : start + WINDOW] for start in starts]
    batches = [np.stack(windows[i : i + BATCH]) for i in range(0, len(windows), BATCH)]
    raw = np.concatenate([session.run(None, {"input_1": batch})[0] for batch in batches])
    return float(np.polyval(OVERALL, raw[:, 2].astype(np.float64)).mean())


def timed(rate: Callable[[np.ndarray], float], clip: np.ndarray) -> tuple[float, float]:
    """Return overall MOS and CPU seconds."""
    start = time.process_time()
    overall = rate(clip)
    return overall, time.process_time() - start


def real_clips() -> Iterator[np.ndarray]:
    """Yield clips at SAMPLE_RATE, of 1 to 30 s."""
    turn = 0  # in LENGTHS
    for path in sorted((AUDIO / "meetings").glob("*.flac")):
        if path.stem in CALIBRATED_WITH:
            continue
        meeting, at = loaded(path), 0
        while at + (size := int(LENGTHS[turn % len(LENGTHS)] * SAMPLE_RATE)) <= meeting.size:
            yield meeting[at : at + size]
            at, turn = at + size, turn + 1
    noises = [loaded(path) for path in sorted((AUDIO / "noise").glob("*.wav"))[:3]]
    for number, path in enumerate(sorted((AUDIO / "read").glob("*.flac"))[:3]):
        speech = loaded(path)[: 10 * SAMPLE_RATE]
        noise = np.resize(noises[number], speech.size)
        gain = np.sqrt((speech**2).mean() / (noise**2).mean()) * 10 ** (-NOISE_DB / 20)
        yield speech
        yield speech + gain * noise
    yield from (noise[: 4 * SAMPLE_RATE] for noise in noises)
    digits = sorted((AUDIO / "digits").glob("*.wav"))
    for first in (0, 400, 800):
        yield np.concatenate([loaded(path) for path in digits[first : first + 6]])


def loaded(path: Path) -> np.ndarray:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE).astype(np.float32)


if __name__ == "__main__":
    main()
