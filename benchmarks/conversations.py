"""Conversations of known speakers: real extracts, and turns of real voices put in a row.

WAVEMILL_AUDIO names the folder of recordings (default: ../shared/audio beside the repository).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
ROOT = Path(__file__).resolve().parents[1]
AUDIO = Path(os.environ.get("WAVEMILL_AUDIO", ROOT.parent / "shared" / "audio"))
LEVEL = 0.05  # root mean square of each turn that is put in a row
DIGITS = ("george", "jackson", "nicolas", "theo")
KINDS = {
    "extracts": "meeting extracts",
    "few": "two to four returning, 5 min",
    "six": "six returning, 5 min",
    "many": "18 in a row; all extracts",
    "alone": "one voice, 1 min",
    "examples": "the project's examples",
}

Samples = NDArray[np.float32]
Spoken = list[tuple[float, float, str]]  # start and end in seconds, speaker


@dataclass(frozen=True, slots=True)
class Conversation:
    """Samples at 16 kHz and who speaks when."""

    kind: str
    samples: Samples
    spoken: Spoken


def load(path: Path) -> Samples:
    """Read a file, its channels mixed, at 16 kHz."""
    import soundfile
    import soxr

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples.mean(axis=1), rate, RATE), np.float32)


def conversations() -> dict[str, Conversation]:
    """Return all of them by name; the same each time."""
    found = extracts()
    generator = np.random.default_rng(7)
    meeting, single = solo_voices(found), single_speakers()
    digits = {name: single[name] for name in DIGITS}
    read = {name: voice for name, voice in single.items() if name not in DIGITS}
    most = sorted(meeting, key=lambda name: -len(meeting[name]))

    def of(names: Sequence[str]) -> dict[str, Samples]:
        return {name: meeting[name] for name in names}

    plans: dict[str, tuple[str, Mapping[str, Samples], tuple[float, float]]] = {
        "six, digits": ("six", {**digits, "jfk": single["jfk"], **of(most[:1])}, (2, 8)),
        "six, meetings": ("six", of(most[:6]), (1.5, 8)),
        "six, read and meetings": ("six", {**read, **of(most[6:9])}, (1.5, 8)),
        "six, short turns": (
            "six",
            {n: v for n, v in single.items() if n not in ("jackson", "nicolas", "jfk")}
            | of(most[2:4]),
            (1.5, 5),
        ),
        "two, digits": ("few", {n: digits[n] for n in ("george", "nicolas")}, (2, 8)),
        "two, short turns": ("few", {n: digits[n] for n in ("jackson", "theo")}, (1.5, 4)),
        "four, digits": ("few", digits, (2, 8)),
    }
    for name, (kind, voices, turn) in plans.items():
        found[name] = _talk(kind, voices, turn, generator)
    for name, voice in digits.items():
        length = len(voice) / RATE
        found[name] = Conversation("alone", _levelled(voice), [(0.0, length, name)])
    found["all voices"] = _in_a_row({**meeting, **single}, generator)
    found["all extracts"] = _joined([c for c in found.values() if c.kind == "extracts"])
    return {**found, **examples()}


def extracts() -> dict[str, Conversation]:
    """Half-minute extracts of meetings and a telephone conversation."""
    spoken: dict[str, Spoken] = {}
    for line in (AUDIO / "meetings" / "reference.rttm").read_text("utf-8").splitlines():
        _, uri, _, start, duration, _, _, speaker, *_ = line.split()
        turn = (float(start), float(start) + float(duration), speaker)
        spoken.setdefault(uri, []).append(turn)
    return {
        uri: Conversation("extracts", load(AUDIO / "meetings" / f"{uri}.flac"), turns)
        for uri, turns in sorted(spoken.items())
    }


def examples() -> dict[str, Conversation]:
    """The project's own recordings whose speakers are known; used in choosing nothing."""
    out = {}
    for line in (ROOT / "examples/truth/transcripts.jsonl").read_text("utf-8").splitlines():
        entry = json.loads(line)
        turns = [(t["start"], t["end"], t["speaker"]) for t in entry["turns"] if "speaker" in t]
        if turns:
            samples = load(ROOT / "examples" / "recordings" / entry["recording"])
            out[entry["recording"]] = Conversation("examples", samples, turns)
    return out


def single_speakers() -> dict[str, Samples]:
    """Recordings of one speaker each, no meetings; those of one speaker are joined."""
    read = sorted((AUDIO / "read").glob("*.flac"))
    out = {
        "jfk": np.concatenate([load(p) for p in read if p.stem == "jfk"]),
        "mandarin": load(AUDIO / "mandarin" / "asr_example.wav"),
        "librispeech": np.concatenate([load(p) for p in read if p.stem != "jfk"]),
    }
    for name in DIGITS:
        paths = sorted((AUDIO / "digits").glob(f"*_{name}_*.wav"))
        np.random.default_rng(0).shuffle(paths)  # type: ignore[arg-type]
        out[name] = np.concatenate([load(path) for path in paths[:120]])
    return out


def solo_voices(found: Mapping[str, Conversation]) -> dict[str, Samples]:
    """Return what each speaker of the extracts says alone, in stretches of a second or more."""
    parts: dict[str, list[Samples]] = {}
    for conversation in found.values():
        active = np.zeros(len(conversation.samples) * 100 // RATE + 1, int)
        for start, end, _ in conversation.spoken:
            active[int(start * 100) : int(end * 100)] += 1
        for start, end, speaker in conversation.spoken:
            alone = np.flatnonzero(active[int(start * 100) : int(end * 100)] == 1)
            for run in np.split(alone, np.flatnonzero(np.diff(alone) > 1) + 1):
                if len(run) >= 100:
                    first, last = (int(start * 100) + int(i) for i in (run[0], run[-1] + 1))
                    piece = conversation.samples[first * RATE // 100 : last * RATE // 100]
                    parts.setdefault(speaker, []).append(piece)
    return {speaker: np.concatenate(pieces) for speaker, pieces in parts.items()}


def _levelled(samples: Samples) -> Samples:
    return np.asarray(samples / np.sqrt(np.mean(samples**2) + 1e-12) * LEVEL, np.float32)


def _talk(
    kind: str,
    voices: Mapping[str, Samples],
    turn: tuple[float, float],
    generator: np.random.Generator,
    seconds: float = 300,
) -> Conversation:
    """Let voices speak in turns, drawn at random, over and over what they have said."""
    pool = {name: _pieces(voice, turn, generator) for name, voice in voices.items()}
    used = dict.fromkeys(pool, 0)
    parts: list[Samples] = []
    spoken: Spoken = []
    at, last = 0, ""
    while at < seconds * RATE:
        last = str(generator.choice([name for name in pool if name != last]))
        piece = pool[last][used[last] % len(pool[last])]
        used[last] += 1
        pause = int(generator.uniform(0, 0.6) * RATE)
        parts += [piece, generator.normal(0, 1e-4, pause).astype(np.float32)]
        spoken.append((at / RATE, (at + len(piece)) / RATE, last))
        at += len(piece) + pause
    return Conversation(kind, np.concatenate(parts), spoken)


def _pieces(
    voice: Samples, turn: tuple[float, float], generator: np.random.Generator
) -> list[Samples]:
    out, at = [], 0
    while at == 0 or len(voice) - at > turn[0] * RATE:
        length = int(generator.uniform(*turn) * RATE)
        if len(piece := voice[at : at + length]) > RATE:
            out.append(_levelled(piece))
        at += length
    return out


def _in_a_row(voices: Mapping[str, Samples], generator: np.random.Generator) -> Conversation:
    """Up to 7.2 s of each voice that has 3 s, one after the other."""
    names = [name for name, voice in voices.items() if len(voice) > 3 * RATE]
    parts = [
        Conversation(
            "many", (v := _levelled(voices[n][: int(7.2 * RATE)])), [(0, len(v) / RATE, n)]
        )
        for n in generator.permutation(names).tolist()
    ]
    return _joined(parts)


def _joined(parts: Sequence[Conversation]) -> Conversation:
    spoken: Spoken = []
    at = 0.0
    for part in parts:
        spoken += [(start + at, end + at, speaker) for start, end, speaker in part.spoken]
        at += len(part.samples) / RATE
    return Conversation("many", np.concatenate([part.samples for part in parts]), spoken)
