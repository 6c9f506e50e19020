"""How many spoken digits the listener of `wavemill resynthesise --words` hears right.

    python -m benchmarks.closed_set     # 4 minutes on one core

The 200 held-out recordings of the folder `digits` of WAVEMILL_AUDIO. Figures: transcription.md.
"""

from __future__ import annotations

import time

from examples.digits.manifest import WORDS
from tests.stages.transcribe.whisper_models import digit_clips
from wavemill.stages.text import normalize
from wavemill.stages.transcribe.closed_set import ClosedSet
from wavemill.stages.transcribe.faster_whisper import FasterWhisper, FasterWhisperConfig


def main() -> None:
    digits = digit_clips()
    clips = [clip for _, clip in digits]
    closed = ClosedSet(WORDS)
    start = time.process_time()
    heard = [closed.hear(clip) for clip in clips]
    report("one of ten words", [word for word, _ in digits], heard, start)
    free = FasterWhisper(FasterWhisperConfig())
    free.load("cpu")
    start = time.process_time()
    texts = [normalize(found.text) for found in free.transcribe(clips)]
    numerals = {str(number): word for number, word in enumerate(WORDS)}
    report("any text", [word for word, _ in digits], [numerals.get(t, t) for t in texts], start)


def report(way: str, truth: list[str], heard: list[str | None] | list[str], start: float) -> None:
    right = sum(word == found for word, found in zip(truth, heard, strict=True))
    spent = (time.process_time() - start) / len(truth)
    print(f"{way}: {100 * right / len(truth):.1f} % right, {spent:.2f} CPU s per word", flush=True)


if __name__ == "__main__":
    main()
