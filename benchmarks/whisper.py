"""The batched Whisper engine beside the package's own loop, at equal text, one thread.

    python -m benchmarks.whisper

Two models: the tiny one that knows ten digits, through everything (`whisper.transcribe` against
the engine), and one of the size of `base` with random weights, encoder and greedy decoder only,
whose babble is cut at a fixed number of tokens. Both ways are timed in turn in the same process,
and the best of the rounds counts, so what else the machine does matters least for the ratio.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
import whisper
from whisper.decoding import DecodingOptions
from whisper.model import ModelDimensions, Whisper

from wavemill.stages.transcribe.whisper import Whisper as Engine
from wavemill.stages.transcribe.whisper import WhisperConfig
from wavemill.stages.transcribe.whisper_batch import decode_batch

ROOT = Path(__file__).resolve().parent.parent
DIGITS = ROOT / "tests" / "data" / "digits-whisper.pt"
HELD_OUT = 5
RATE = 16_000
BASE = ModelDimensions(80, 1500, 512, 8, 6, 51_865, 448, 512, 8, 6)


def best(ways: dict[str, Callable[[], list[str]]], rounds: int) -> dict[str, float]:
    """Return the least seconds of each way, run in turn; raises when their texts differ."""
    seconds = dict.fromkeys(ways, float("inf"))
    texts: dict[str, list[str]] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            texts[name] = way()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    (first, *others) = texts.values()
    if any(other != first for other in others):
        raise SystemExit("the texts differ")
    return seconds


def report(title: str, clips: int, seconds: dict[str, float]) -> None:
    print(f"{title}: {clips} clips, the same text in every row")
    loop = next(iter(seconds.values()))
    for name, taken in seconds.items():
        print(f"  {name:32s} {1000 * taken / clips:8.1f} ms/clip   {loop / taken:5.2f}x")


def held_out(count: int) -> list[np.ndarray]:
    folder = Path(os.environ.get("WAVEMILL_AUDIO", ROOT.parent / "shared" / "audio")) / "digits"
    paths = sorted(folder.glob(f"*_[0-{HELD_OUT - 1}].wav"))
    clips = []
    for path in paths[:: max(len(paths) // count, 1)][:count]:
        samples, rate = soundfile.read(path, dtype="float32")
        clips.append(soxr.resample(samples, rate, RATE))
    return clips


def measure_digits(count: int, rounds: int) -> None:
    """Everything: spectrogram, language, text, word times."""
    clips = held_out(count)
    package = whisper.load_model(str(DIGITS), "cpu")
    options: dict[str, Any] = {"fp16": False, "word_timestamps": True, "temperature": 0.0}

    def loop() -> list[str]:
        return [whisper.transcribe(package, clip, **options)["text"].strip() for clip in clips]

    def engine(**fields: Any) -> Callable[[], list[str]]:
        made = Engine(WhisperConfig(model=str(DIGITS), temperatures=(0.0,), **fields))
        made.load("cpu")
        return lambda: [one.text for one in made.transcribe(clips)]

    ways = {
        "whisper.transcribe": loop,
        "engine, batch 1": engine(batch_size=1),
        "engine, batch 16": engine(batch_size=16),
        "engine, batch 16, one_encoding": engine(batch_size=16, one_encoding=True),
    }
    report("digits", len(clips), best(ways, rounds))


def measure_base(count: int, tokens: int, rounds: int) -> None:
    """Encoder and greedy decoder of a larger model; random weights do the same arithmetic."""
    torch.manual_seed(0)
    model = Whisper(BASE).eval()
    torch.nn.init.normal_(model.decoder.positional_embedding, std=0.1)
    mels = torch.randn(count, 80, 3000)
    options = DecodingOptions(fp16=False, language="en", sample_len=tokens)

    def loop() -> list[str]:
        return [model.decode(mel, options).text for mel in mels]

    def batched(size: int) -> Callable[[], list[str]]:
        def run() -> list[str]:
            found = []
            for some in mels.split(size):
                encoded = model.encoder(some)
                found += decode_batch(model, encoded, ["en"] * len(some), options)
            return [one.text for one in found]

        return run

    encoded = model.encoder(mels)

    def loop_decoder() -> list[str]:
        return [model.decode(one, options).text for one in encoded]

    def batched_decoder() -> list[str]:
        return [one.text for one in decode_batch(model, encoded, ["en"] * count, options)]

    ways = {"model.decode": loop, f"batch {count}": batched(count)}
    report(f"base, {tokens} tokens", count, best(ways, rounds))
    ways = {"model.decode, decoder alone": loop_decoder, f"batch {count}": batched_decoder}
    report(f"base, {tokens} tokens", count, best(ways, rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--digits", type=int, default=48, help="clips through the tiny model")
    parser.add_argument("--base", type=int, default=8, help="windows through the larger one")
    parser.add_argument("--tokens", type=int, default=32, help="of the larger model, per window")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with torch.inference_mode():
        measure_digits(arguments.digits, arguments.rounds)
        measure_base(arguments.base, arguments.tokens, arguments.rounds)


if __name__ == "__main__":
    main()
