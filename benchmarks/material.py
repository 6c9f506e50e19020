"""Audio to measure on: real recordings where there are any, the examples, as long as asked."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parent.parent
GAIN_STEP = 0.98  # each repetition is a little softer, so that it is another recording


def audio_folder() -> Path:
    """Return the folder of real recordings: WAVEMILL_AUDIO, or one beside the repository."""
    return Path(os.environ.get("WAVEMILL_AUDIO", ROOT.parent / "shared" / "audio"))


def make_material(folder: Path, minutes: float) -> float:
    """Fill `folder` with about `minutes` of recordings; return the exact number of seconds.

    Takes the meetings (if there are any) and the examples in turn, again and again, each round
    with another gain.
    """
    originals = sorted((audio_folder() / "meetings").glob("*.flac"))
    originals += sorted((ROOT / "examples" / "recordings").glob("*.flac"))
    seconds = 0.0
    for number, source in enumerate(itertools.cycle(originals)):
        if seconds >= minutes * 60:
            break
        samples, rate = soundfile.read(source, dtype="float32")
        gain = np.float32(GAIN_STEP ** (number // len(originals)))
        soundfile.write(folder / f"{number:04d}-{source.name}", samples * gain, rate)
        seconds += len(samples) / rate
    return seconds
