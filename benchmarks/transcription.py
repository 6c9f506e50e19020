"""Word errors and speed of the embedded transcriber, and its texts where nobody speaks English.

    python benchmarks/transcription.py             # all sets, some 5 minutes on one core
    python benchmarks/transcription.py default     # one of them; --list names them

Run from the repository root. WAVEMILL_AUDIO names the folder of real recordings (default
`../shared/audio`). Clips are segments of one speaker along the truth, as the stage gets them. Speed
is seconds of audio per second of CPU time. Figures: transcription.md.
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
from wavemill.stages.transcribe.faster_whisper import (  # noqa: E402
    FasterWhisper,
    FasterWhisperConfig,
)

AUDIO = Path(os.environ.get("WAVEMILL_AUDIO", ROOT.parent / "shared" / "audio"))
EXAMPLES = ROOT / "examples"
RATE = 16_000
NOISE_DB = 10.0  # speech over noise, of the condition "noisy"
MERGE_GAP_S = 2.0  # turns of a speaker are joined over shorter gaps, as diarize does
MERGE_MAX_S = 27.0
PHANTOM_S = 20

SETS: dict[str, dict[str, Any]] = {
    "default": {},
    "each clip alone": {"packing": None},
    "gap 0.3 s": {"packing": {"gap_s": 0.3}},
    "greedy": {"beam_size": 1},
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
        engine = loaded_engine(name)
        cells = [measured(engine, clips) for clips in conditions.values()]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print("\n| not English speech | clips | with text | confident | their texts |")
    print("|---" * 5 + "|")
    for name, make in PHANTOMS.items():
        print(f"| {name} | {' | '.join(phantoms(loaded_engine('default'), make()))} |", flush=True)


def loaded_engine(name: str) -> FasterWhisper:
    engine = FasterWhisper(FasterWhisperConfig(**SETS[name]))
    engine.load("cpu")
    return engine


def phantoms(engine: FasterWhisper, clips: Iterator[np.ndarray]) -> tuple[str, str, str, str]:
    """Return how many clips there are, with a text, with one above the engine's own threshold.

    Each is decoded alone, as it is rarely beside speech. Last, the texts above the threshold.
    """
    found = [engine.transcribe([clip])[0] for clip in clips]
    least = engine.thresholds()["min_asr_confidence"]
    texts = [one for one in found if one.text]
    confident = [
        f"{one.text} ({one.asr_confidence:.2f})" for one in texts if one.asr_confidence >= least
    ]
    return str(len(found)), str(len(texts)), str(len(confident)), "; ".join(confident)


def measured(engine: FasterWhisper, clips: list[Clip]) -> str:
    """Return "WER in percent, speed" of one condition, or the speed alone."""
    import jiwer

    start = time.process_time()
    found = engine.transcribe([clip.samples for clip in clips])
    elapsed = time.process_time() - start
    speed = f"{sum(clip.samples.size for clip in clips) / RATE / elapsed:.1f}x"
    pairs = [(c.text, t.text) for c, t in zip(clips, found, strict=True) if c.text is not None]
    if not pairs:
        return speed
    truth, heard = zip(*pairs, strict=True)
    rate = jiwer.wer([normalize(t) for t in truth], [normalize(t) for t in heard])
    return f"{100 * rate:.1f} %, {speed}"


def read() -> Iterator[Clip]:
    """Read sentences."""
    for audio, text in sentences():
        yield Clip(audio, text)


def read_enhanced() -> Iterator[Clip]:
    """Read sentences, enhanced by RNNoise."""
    for audio, text in sentences():
        yield Clip(enhanced(audio), text)


def noisy() -> Iterator[Clip]:
    """Read sentences in background noise."""
    noises = [loaded(path) for path in sorted((AUDIO / "noise").glob("*.wav"))]
    for index, (audio, text) in enumerate(sentences()):
        noise = np.resize(noises[index % len(noises)], audio.size)
        gain = np.sqrt(np.mean(audio**2) / np.mean(noise**2)) / 10 ** (NOISE_DB / 20)
        yield Clip(audio + gain * noise, text)


def examples() -> Iterator[Clip]:
    """Segments of the example recordings: synthetic voices, all kinds of disturbance."""
    for line in (EXAMPLES / "truth" / "transcripts.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        audio = loaded(EXAMPLES / "recordings" / row["recording"])
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
        audio = loaded(AUDIO / "meetings" / f"{name}.flac")
        for start, end, _ in list(merged(turns[name]))[::4]:
            yield Clip(cut(audio, start, end), None)


CONDITIONS: dict[str, Callable[[], Iterator[Clip]]] = {
    "read": read,
    "read, enhanced": read_enhanced,
    "read, noisy": noisy,
    "examples": examples,
    "meetings": meetings,
}


def folder(name: str, pattern: str = "*") -> Iterator[np.ndarray]:
    """Yield the first 20 s of each recording in a folder of AUDIO."""
    for path in sorted((AUDIO / name).glob(pattern)):
        if path.suffix in (".wav", ".flac", ".mp3"):
            yield loaded(path)[: PHANTOM_S * RATE]


def silence() -> Iterator[np.ndarray]:
    """Yield silence, and hiss at -50 dBFS."""
    yield np.zeros(PHANTOM_S * RATE, np.float32)
    yield np.random.default_rng(0).normal(0, 10**-2.5, PHANTOM_S * RATE).astype(np.float32)


PHANTOMS: dict[str, Callable[[], Iterator[np.ndarray]]] = {
    "noise": lambda: folder("noise"),
    "music": lambda: folder("music"),
    "events": lambda: folder("events"),
    "silence and hiss": silence,
    "Mandarin": lambda: folder("mandarin"),
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
