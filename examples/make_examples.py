"""Make the example recordings and their truth; both are committed, so nobody needs to run this.

    sudo apt-get install flite espeak-ng
    pip install -e '.[dev]'
    python examples/make_examples.py

The same voices and the same versions of flite and espeak-ng give the same files.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import soxr
from conversations import CAST, SCENES, Scene
from sounds import (
    active_rms,
    decibels,
    mains_hum,
    music,
    pink_noise,
    reverberate,
    telephone_band,
    trim,
)

FOLDER = Path(__file__).resolve().parent
VOICE_RATE = 16_000  # Hz: flite's voices, and what espeak-ng's are resampled to
EDGE_SECONDS = 0.6  # silence before the first and after the last turn
SENTENCE_PAUSE_SECONDS = 0.35
ROOM_FLOOR_DB = -88.0  # dBFS: no recording is digitally silent between the turns
PEAK_DB = -0.5  # dBFS: nothing but the overdriven scene reaches full scale


@dataclass(frozen=True)
class Turn:
    speaker: str
    start_ms: int
    end_ms: int
    text: str


def require_synthesizers() -> None:
    missing = [name for name in ("flite", "espeak-ng") if shutil.which(name) is None]
    if missing:
        sys.exit(f"{' and '.join(missing)} not found: sudo apt-get install {' '.join(missing)}")


@cache
def synthesise(speaker: str, sentence: str) -> np.ndarray:
    """One sentence at 16 kHz, RMS 1 where there is speech, without silence around it."""
    voice = CAST[speaker]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sentence.wav"
        if voice.engine == "flite":
            stretch = f"duration_stretch={1.05 * voice.warp:.3f}"
            command = ["flite", "--setf", stretch, "-voice", voice.name, "-t", sentence, "-o", path]
        else:
            command = ["espeak-ng", "-v", voice.name, "-s", "145", "-w", path, sentence]
        subprocess.run(command, check=True)
        signal, rate = soundfile.read(path)
    # Claiming a higher rate than the true one shortens the vocal tract.
    signal = trim(soxr.resample(signal, rate * voice.warp, VOICE_RATE), VOICE_RATE)
    return signal / active_rms(signal, VOICE_RATE)


def milliseconds(samples: int) -> int:
    return round(samples * 1000 / VOICE_RATE)


def perform(scene: Scene) -> tuple[np.ndarray, list[Turn]]:
    """The dry speech, one row per channel (channels, samples) at 16 kHz, RMS 1; and the turns."""
    turns: list[Turn] = []
    placed: list[tuple[int, int, np.ndarray]] = []  # channel, first sample, sentence
    cursor = 0
    for number, line in enumerate(scene.lines):
        pause = line.pause if number else max(line.pause, EDGE_SECONDS)
        for sentence in re.findall(r"[^.?]+[.?]", line.text):
            start = cursor + int(pause * VOICE_RATE)
            signal = synthesise(line.speaker, sentence.strip())
            channel = scene.channel_of.index(line.speaker) if scene.channel_of else 0
            placed.append((channel, start, signal))
            cursor = start + len(signal)
            times = milliseconds(start), milliseconds(cursor)
            turns.append(Turn(line.speaker, *times, sentence.strip()))
            pause = SENTENCE_PAUSE_SECONDS
    samples = cursor + int(EDGE_SECONDS * VOICE_RATE)
    out = np.zeros((max(1, len(scene.channel_of)), samples))
    for channel, start, signal in placed:
        out[channel, start : start + len(signal)] += signal
    return out, turns


def bed(scene: Scene, samples: int, random: np.random.Generator) -> np.ndarray:
    """What sounds besides speech, at the scene's rate, relative to speech of RMS 1."""
    rate = scene.sample_rate
    out = pink_noise(samples, rate, random) * decibels(ROOM_FLOOR_DB - scene.level)
    if scene.noise is not None:
        out += pink_noise(samples, rate, random) * decibels(scene.noise)
    if scene.hum is not None:
        out += mains_hum(samples, rate) * decibels(scene.hum)
    if scene.music is not None:
        out += music(samples, rate, random) * decibels(scene.music)
    return out


def damage(scene: Scene, signal: np.ndarray) -> np.ndarray:
    if scene.overdrive is not None:
        return np.clip(signal * decibels(scene.overdrive), -1.0, 1.0)
    if scene.telephone:
        signal = telephone_band(signal, scene.sample_rate)
    loudest = np.abs(signal).max()
    return signal * min(1.0, decibels(PEAK_DB) / loudest)


def render(scene: Scene) -> tuple[np.ndarray, list[Turn]]:
    """The recording, shape (samples, channels), float64 within full scale; and its turns."""
    random = np.random.default_rng(zlib.crc32(scene.name.encode()))
    if not scene.lines:
        samples = int(scene.seconds * scene.sample_rate)
        return damage(scene, bed(scene, samples, random) * decibels(scene.level))[:, None], []
    dry, turns = perform(scene)
    channels = []
    for signal in dry:
        if scene.reverberation is not None:
            signal = reverberate(signal, VOICE_RATE, scene.reverberation, random)
        signal = soxr.resample(signal, VOICE_RATE, scene.sample_rate)
        signal = signal + bed(scene, len(signal), random)
        channels.append(damage(scene, signal * decibels(scene.level)))
    return np.stack(channels, axis=1), turns


def rttm(scene: Scene, turns: list[Turn]) -> list[str]:
    """Lines of the Rich Transcription Time Marked format (NIST); times in seconds."""
    return [
        f"SPEAKER {scene.name} 1 {turn.start_ms / 1000:.3f} "
        f"{(turn.end_ms - turn.start_ms) / 1000:.3f} <NA> <NA> {turn.speaker} <NA> <NA>"
        for turn in turns
    ]


def transcript(scene: Scene, turns: list[Turn]) -> str:
    rows = [
        {
            "speaker": turn.speaker,
            "start": turn.start_ms / 1000,
            "end": turn.end_ms / 1000,
            "text": turn.text,
        }
        for turn in turns
    ]
    return json.dumps({"recording": f"{scene.name}.flac", "turns": rows})


def main() -> None:
    require_synthesizers()
    recordings, truth = FOLDER / "recordings", FOLDER / "truth"
    recordings.mkdir(exist_ok=True)
    truth.mkdir(exist_ok=True)
    speakers: list[str] = []
    transcripts: list[str] = []
    for scene in SCENES:
        signal, turns = render(scene)
        path = recordings / f"{scene.name}.flac"
        soundfile.write(path, signal, scene.sample_rate, subtype="PCM_16", compression_level=1.0)
        speakers += rttm(scene, turns)
        transcripts.append(transcript(scene, turns))
        seconds = len(signal) / scene.sample_rate
        print(f"{path.name:26} {seconds:6.1f} s  {path.stat().st_size / 1e6:5.2f} MB")
    (truth / "reference.rttm").write_text("\n".join(speakers) + "\n", encoding="utf-8")
    (truth / "transcripts.jsonl").write_text("\n".join(transcripts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
