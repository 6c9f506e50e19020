"""Whisper tiny.en by its own package and by the engine `faster_whisper`: word errors and speed.

    python -m benchmarks.whisper

The bundled weights (CTranslate2, float16) are written as a checkpoint of `openai-whisper`, so that
both run the same model. Clips are those of `benchmarks/transcription.py`, one torch thread.
Figures: whisper.md.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import torch
import whisper

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.transcription import CONDITIONS, RATE  # noqa: E402
from tests.stages.transcribe.whisper_models import tiny_en  # noqa: E402
from wavemill.stages.text import normalize  # noqa: E402
from wavemill.stages.transcribe.faster_whisper import (  # noqa: E402
    FasterWhisper,
    FasterWhisperConfig,
)
from wavemill.stages.transcribe.faster_whisper_weights import BUNDLED, model_folder  # noqa: E402

Transcriber = Callable[[Sequence[np.ndarray]], list[str]]


def package(**options: Any) -> Transcriber:
    model = tiny_en(model_folder(BUNDLED, None))

    def texts(clips: Sequence[np.ndarray]) -> list[str]:
        told = {"word_timestamps": True, "language": "en", "fp16": False, **options}
        return [str(whisper.transcribe(model, clip, **told)["text"]) for clip in clips]

    return texts


def engine(**settings: Any) -> Transcriber:
    made = FasterWhisper(FasterWhisperConfig(**settings))
    made.load("cpu")
    return lambda clips: [found.text for found in made.transcribe(clips)]


WAYS: dict[str, Callable[[], Transcriber]] = {
    "`whisper.transcribe`": package,
    "`whisper.transcribe`, beam 5": lambda: package(beam_size=5),
    "engine, each clip alone, float32": lambda: engine(
        packing=None, compute_type="float32", beam_size=1
    ),
    "engine, each clip alone": lambda: engine(packing=None, beam_size=1),
    "engine, default": engine,
}


def main(ways: dict[str, Callable[[], Transcriber]] = WAYS) -> None:
    torch.set_num_threads(1)
    sets = {name: list(CONDITIONS[name]()) for name in ("read", "examples")}
    print(f"| tiny.en | {' | '.join(f'{name}: word error, CPU s per s' for name in sets)} |")
    print("|---" * (len(sets) + 1) + "|")
    for way, make in ways.items():
        cells, texts = [], make()
        for clips in sets.values():
            start = time.process_time()
            heard = texts([clip.samples for clip in clips])
            spent = time.process_time() - start
            truth = [normalize(clip.text or "") for clip in clips]
            error = jiwer.wer(truth, [normalize(text) for text in heard])
            seconds = sum(clip.samples.size for clip in clips) / RATE
            cells.append(f"{100 * error:.1f} %, {spent / seconds:.3f}")
        print(f"| {way} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
