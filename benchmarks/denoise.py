"""Denoisers on read speech with noise and in rooms: DNSMOS, word errors and CPU time.

    python -m benchmarks.denoise             # 6 minutes on one core
    python -m benchmarks.denoise --quick     # 1 minute: half of the speech, fewer ways

WAVEMILL_AUDIO names the folder of recordings (default `../shared/audio`). Speech are the sentences
of its folder `read`; background noises and events are added at NOISE_DB, rooms by their impulse
responses. Of meetings DNSMOS alone is known. Word errors are those of the default transcriber on
whole recordings. Figures: benchmarks/denoise.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from benchmarks.material import audio_folder
from wavemill.stages.denoise.deepfilternet import DeepFilterNet, DeepFilterNetConfig
from wavemill.stages.denoise.engine import DenoiseEngine
from wavemill.stages.denoise.none import NoDenoise
from wavemill.stages.denoise.rnnoise import RNNoise
from wavemill.stages.engine import EngineConfig
from wavemill.stages.score_audio.dnsmos import Dnsmos, DnsmosConfig
from wavemill.stages.text import normalize
from wavemill.stages.transcribe.faster_whisper import FasterWhisper, FasterWhisperConfig

RATE = 16_000
NOISE_DB = 5.0  # speech over noise
MEETING_S = 10  # of each meeting
MEETINGS = 6

Samples = NDArray[np.float32]
Clip = tuple[Samples, str | None]  # audio at RATE, and what is said; None: not known

WAYS: dict[str, Callable[[], DenoiseEngine[Any]]] = {
    "none": lambda: NoDenoise(EngineConfig()),
    "rnnoise": lambda: RNNoise(EngineConfig()),
    **{
        f"deepfilternet, {f'{limit} dB' if limit else 'no limit'}": lambda limit=limit: (
            DeepFilterNet(DeepFilterNetConfig(attenuation_limit_db=limit))
        )
        for limit in (6, 12, 18, None)
    },
}
QUICK = ("none", "rnnoise", "deepfilternet, 18 dB")


@dataclass(frozen=True, slots=True)
class Measured:
    """What one way makes of one condition; DNSMOS is the mean over clips, 1 to 5."""

    overall: float
    signal: float
    background: float
    wrong: int  # words
    words: int
    cpu: float  # seconds of the denoiser
    seconds: float  # of audio

    @property
    def word_error(self) -> float | None:
        return self.wrong / self.words if self.words else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    print("| condition | denoiser | OVRL | SIG | BAK | word error | CPU s per s |")
    print("|---" * 7 + "|")
    ways = QUICK if quick else tuple(WAYS)
    total: dict[str, list[Measured]] = {}
    for condition, clips in conditions(quick).items():
        for way in ways:
            found = measured(WAYS[way](), clips)
            total.setdefault(way, []).append(found)
            print(row(condition, way, found), flush=True)
    for way, parts in total.items():
        print(row("**mean**", way, mean(parts)), flush=True)


def row(condition: str, way: str, found: Measured) -> str:
    error = "" if found.word_error is None else f"{100 * found.word_error:.1f} %"
    return (
        f"| {condition} | {way} | {found.overall:.2f} | {found.signal:.2f} "
        f"| {found.background:.2f} | {error} | {found.cpu / found.seconds:.3f} |"
    )


def mean(parts: Sequence[Measured]) -> Measured:
    """Return DNSMOS as the mean over conditions, and words and seconds of all together."""
    overall, signal, background = np.mean(
        [(part.overall, part.signal, part.background) for part in parts], axis=0
    ).tolist()
    wrong, words = (sum(p.wrong for p in parts), sum(p.words for p in parts))
    cpu, seconds = (sum(p.cpu for p in parts), sum(p.seconds for p in parts))
    return Measured(overall, signal, background, wrong, words, cpu, seconds)


def measured(engine: DenoiseEngine[Any], clips: Sequence[Clip]) -> Measured:
    engine.load("cpu")
    start = time.process_time()
    enhanced = [denoised(engine, samples) for samples, _ in clips]
    cpu = time.process_time() - start
    rated = judge().quality([np.clip(e, -1, 1) for e in enhanced])
    overall, signal, background = np.mean(
        [(q.overall, q.signal, q.background) for q in rated if q], axis=0
    ).tolist()
    wrong, words = word_errors(enhanced, [text for _, text in clips])
    seconds = sum(samples.size for samples, _ in clips) / RATE
    return Measured(overall, signal, background, wrong, words, cpu, seconds)


def word_errors(clips: Sequence[Samples], texts: Sequence[str | None]) -> tuple[int, int]:
    """Return how many words are wrong, and how many there are, where the text is known."""
    import jiwer

    known = [(clip, text) for clip, text in zip(clips, texts, strict=True) if text is not None]
    if not known:
        return 0, 0
    heard = transcriber().transcribe([clip for clip, _ in known])
    truth = [normalize(text) for _, text in known]
    found = jiwer.process_words(truth, [normalize(one.text) for one in heard])
    wrong = found.substitutions + found.deletions + found.insertions
    return wrong, sum(len(text.split()) for text in truth)


def conditions(quick: bool = False) -> Mapping[str, list[Clip]]:
    """Return clips by condition: the same speech in each, and meetings."""
    speech = sentences()[:2] if quick else sentences()
    noises = list(background())
    rooms = [loaded(path) for path in sorted((audio_folder() / "rooms").glob("*.wav"))]
    in_rooms = [(in_room(x, rooms[i % len(rooms)]), text) for i, (x, text) in enumerate(speech)]
    meetings = sorted((audio_folder() / "meetings").glob("*.flac"))[: 2 if quick else MEETINGS]
    return {
        "clean": speech,
        "noise": [(noisy(x, noises[2 * i]), text) for i, (x, text) in enumerate(speech)],
        "room": in_rooms,
        "room and noise": [
            (noisy(x, noises[2 * i + 1]), text) for i, (x, text) in enumerate(in_rooms)
        ],
        "meetings": [(loaded(path)[: MEETING_S * RATE], None) for path in meetings],
    }


def sentences() -> list[Clip]:
    folder = audio_folder() / "read"
    lines = (folder / "transcripts.jsonl").read_text("utf-8").splitlines()
    return [(loaded(folder / entry["audio"]), entry["text"]) for entry in map(json.loads, lines)]


def background() -> Iterator[Samples]:
    """Yield noises and events in turn."""
    folders = [sorted((audio_folder() / name).glob("*.wav")) for name in ("noise", "events")]
    for pair in zip(*folders, strict=True):
        yield from (loaded(path) for path in pair)


def noisy(speech: Samples, noise: Samples) -> Samples:
    """Return the speech with the noise, repeated, at NOISE_DB."""
    beside = np.resize(noise, speech.size)
    gain = np.sqrt(np.mean(speech**2) / np.mean(beside**2)) / 10 ** (NOISE_DB / 20)
    return np.asarray(speech + gain * beside, np.float32)


def in_room(speech: Samples, response: Samples) -> Samples:
    """Return the speech as the room returns it, at the speech's level and time."""
    from scipy.signal import fftconvolve

    response = response[int(np.argmax(np.abs(response))) :]
    wet = fftconvolve(speech, response)[: speech.size]
    return np.asarray(wet * np.sqrt(np.mean(speech**2) / np.mean(wet**2)), np.float32)


def denoised(engine: DenoiseEngine[Any], samples: Samples) -> Samples:
    """Return samples at RATE after an engine that was loaded, as many as before."""
    rate = engine.sample_rate or RATE
    wide = np.asarray(soxr.resample(samples, RATE, rate), np.float32)
    narrow = soxr.resample(np.concatenate(list(engine.enhance(iter([wide])))), rate, RATE)
    return np.asarray(np.resize(narrow, samples.size), np.float32)


def loaded(path: Path) -> Samples:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples.mean(axis=1), rate, RATE), np.float32)


@cache
def judge() -> Dnsmos:
    engine = Dnsmos(DnsmosConfig(precision="float32"))
    engine.load("cpu")
    return engine


@cache
def transcriber() -> FasterWhisper:
    engine = FasterWhisper(FasterWhisperConfig())
    engine.load("cpu")
    return engine


if __name__ == "__main__":
    main()
