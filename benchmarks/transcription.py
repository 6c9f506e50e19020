"""Word errors and speed of parameter sets of the embedded transcriber (see transcription.md).

    python benchmarks/transcription.py             # all sets, some 15 minutes on one core
    python benchmarks/transcription.py default     # one of them; --list names them

Run from the repository root. WAVEMILL_AUDIO names the folder of real recordings (default
`../shared/audio`). Everything is decoded as in the pipeline: enhanced by RNNoise, cut into
segments of one speaker. Speed is seconds of audio per second of the decoding thread's CPU time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from wavemill.stages.denoise.rnnoise import RNNoise  # noqa: E402
from wavemill.stages.engine import EngineConfig  # noqa: E402
from wavemill.stages.text import normalize  # noqa: E402
from wavemill.stages.transcribe.pocketsphinx import PocketSphinx, PocketSphinxConfig  # noqa: E402

AUDIO = Path(os.environ.get("WAVEMILL_AUDIO", ROOT.parent / "shared" / "audio"))
EXAMPLES = ROOT / "examples"
RATE = 16_000
NOISE_DB = 10.0  # speech over noise, of the condition "noisy"
MERGE_GAP_S = 2.0  # turns of a speaker are joined over shorter gaps, as diarize does
MERGE_MAX_S = 27.0

# PocketSphinx's own defaults, the second and third pass included.
PACKAGE = {"maxhmmpf": 30_000, "fwdflat": True, "remove_noise": True}
NARROW = {"beam": 1e-36, "pbeam": 1e-36, "lpbeam": 1e-30, "wbeam": 1e-22, "lponlybeam": 1e-22}
SETS: dict[str, dict[str, Any]] = {
    "default": {},
    "package": PACKAGE,
    "fwdflat": {"fwdflat": True},
    "fwdflat, maxhmmpf 2000": {"fwdflat": True, "maxhmmpf": 2000},
    "maxhmmpf 2000": {"maxhmmpf": 2000},
    "maxhmmpf 5000": {"maxhmmpf": 5000},
    "remove_noise": {"remove_noise": True},
    "narrow beams": NARROW,
    "topn 2": {"topn": 2},
    "ds 2": {"ds": 2},
}


@dataclass(frozen=True)
class Clip:
    """A segment of speech at RATE, float32 (samples,), and what is said (None: unknown)."""

    samples: np.ndarray
    text: str | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--list", action="store_true", help="name the sets and stop")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(SETS))
        return
    conditions = {name: list(make()) for name, make in CONDITIONS.items()}
    seconds = {n: sum(c.samples.size for c in clips) / RATE for n, clips in conditions.items()}
    print(f"| set | {' | '.join(f'{n} ({s:.0f} s)' for n, s in seconds.items())} |")
    print("|---" * (len(conditions) + 1) + "|")
    for name in arguments.sets:
        engine = PocketSphinx(PocketSphinxConfig(**SETS[name]))
        engine.load("cpu")
        cells = [measured(engine, clips) for clips in conditions.values()]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def measured(engine: PocketSphinx, clips: list[Clip]) -> str:
    """Return "WER in percent, speed" of one condition, or the speed alone."""
    import jiwer

    start = time.thread_time()
    found = engine.transcribe([clip.samples for clip in clips])
    elapsed = time.thread_time() - start
    speed = f"{sum(clip.samples.size for clip in clips) / RATE / elapsed:.1f}x"
    pairs = [(c.text, t.text) for c, t in zip(clips, found, strict=True) if c.text is not None]
    if not pairs:
        return speed
    truth, heard = zip(*pairs, strict=True)
    rate = jiwer.wer([normalize(t) for t in truth], [normalize(t) for t in heard])
    return f"{100 * rate:.1f} %, {speed}"


def read() -> Iterator[Clip]:
    """Read sentences, enhanced."""
    for audio, text in sentences():
        yield Clip(enhanced(audio), text)


def original() -> Iterator[Clip]:
    """Read sentences as they are."""
    for audio, text in sentences():
        yield Clip(audio, text)


def noisy() -> Iterator[Clip]:
    """Read sentences in background noise, enhanced."""
    noises = [loaded(path) for path in sorted((AUDIO / "noise").glob("*.wav"))]
    for index, (audio, text) in enumerate(sentences()):
        noise = np.resize(noises[index % len(noises)], audio.size)
        gain = np.sqrt(np.mean(audio**2) / np.mean(noise**2)) / 10 ** (NOISE_DB / 20)
        yield Clip(enhanced(audio + gain * noise), text)


def examples() -> Iterator[Clip]:
    """Segments of the example recordings: synthetic voices, all kinds of disturbance."""
    for line in (EXAMPLES / "truth" / "transcripts.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        audio = enhanced(loaded(EXAMPLES / "recordings" / row["recording"]))
        turns = [(t["start"], t["end"], t["speaker"], t["text"]) for t in row["turns"]]
        for start, end, text in merged(turns):
            yield Clip(cut(audio, start, end), text)


def meetings() -> Iterator[Clip]:
    """Every fourth segment of the meetings; their words are not known."""
    turns: dict[str, list[tuple[float, float, str, str]]] = {}
    for line in (AUDIO / "meetings" / "reference.rttm").read_text("utf-8").splitlines():
        _, name, _, start, duration, _, _, speaker, *_ = line.split()
        turn = (float(start), float(start) + float(duration), speaker, "")
        turns.setdefault(name, []).append(turn)
    for name in sorted(turns):
        audio = enhanced(loaded(AUDIO / "meetings" / f"{name}.flac"))
        for start, end, _ in list(merged(turns[name]))[::4]:
            yield Clip(cut(audio, start, end), None)


CONDITIONS: dict[str, Callable[[], Iterator[Clip]]] = {
    "read": read,
    "read, original": original,
    "read, noisy": noisy,
    "examples": examples,
    "meetings": meetings,
}


def sentences() -> Iterator[tuple[np.ndarray, str]]:
    for line in (AUDIO / "read" / "transcripts.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        yield loaded(AUDIO / "read" / row["audio"]), row["text"]


def merged(turns: list[tuple[float, float, str, str]]) -> Iterator[tuple[float, float, str]]:
    """Yield (start, end, text) of turns (start, end, speaker, text) joined as diarize joins."""
    held: tuple[float, float, str, str] | None = None
    for turn in sorted(turns):
        start, end, speaker, text = turn
        near = held and held[2] == speaker and start - held[1] < MERGE_GAP_S
        if held and near and end - held[0] <= MERGE_MAX_S:
            held = (held[0], max(end, held[1]), speaker, f"{held[3]} {text}")
            continue
        if held:
            yield held[0], held[1], held[3]
        held = turn
    if held:
        yield held[0], held[1], held[3]


def loaded(path: Path) -> np.ndarray:
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(audio.mean(axis=1), rate, RATE).astype(np.float32)


def enhanced(audio: np.ndarray) -> np.ndarray:
    engine = RNNoise(EngineConfig())
    engine.load("cpu")
    upsampled = soxr.resample(audio, RATE, engine.sample_rate).astype(np.float32)
    output = np.concatenate(list(engine.enhance(iter([upsampled]))))
    return soxr.resample(output, engine.sample_rate, RATE).astype(np.float32)


def cut(audio: np.ndarray, start: float, end: float) -> np.ndarray:
    return audio[int(start * RATE) : int(end * RATE)]


if __name__ == "__main__":
    main()
