"""What the models of the default profile reach on real recordings, beside what is aimed at.

    python -m benchmarks.real_models             # 12 minutes on one core
    python -m benchmarks.real_models --quick     # 5 minutes: fewer voices and denoisers
    python -m benchmarks.real_models build       # parts of it: words, build, voices, denoisers

WAVEMILL_AUDIO names the folder of recordings (default `../shared/audio`). Words and their
confidences come from the clips of benchmarks/transcription.py, voices from
benchmarks/diarization.py, denoisers from benchmarks/denoise.py. The rest is one build of real
recordings by the default profile, `wavemill.curate`, and what its tables say. Needs the extra
`evaluate`. Figures: real_models.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

import wavemill
from benchmarks import denoise, diarization, transcription
from benchmarks.conversations import KINDS, Conversation, conversations, extracts
from benchmarks.material import audio_folder
from wavemill.stages.diarize.campplus import CampplusConfig
from wavemill.stages.diarize.spans import Span, intersect, length, union
from wavemill.stages.text import normalize
from wavemill.stages.transcribe.engine import Transcript

QUIET = ("noise", "music", "events", "silence")  # folders where nobody speaks
FOREIGN = "mandarin"
QUICK_KINDS = ("extracts", "examples")
DENOISERS = ("none", "rnnoise", "deepfilternet, 18 dB")
SPEED = 8.4  # times real time on two cores
AUDIO = "select sum(duration_ms) from recordings"
CONFUSION_AIMS = {"extracts": 0.06, "six": 0.05}


@dataclass(frozen=True, slots=True)
class Figure:
    """A line of the table: what was found, what is aimed at, and whether that is reached."""

    name: str
    found: str
    aim: str = ""
    reached: bool | None = None

    def __str__(self) -> str:
        reached = "" if self.reached is None else "yes" if self.reached else "**no**"
        return f"| {self.name} | {self.found} | {self.aim} | {reached} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=Path, help="build in this WORKDIR, and leave it")
    arguments = parser.parse_args()
    print("| figure | found | aim | reached |\n|---|---|---|---|")
    for part in arguments.parts:
        for figure in PARTS[part](arguments):
            print(figure, flush=True)


def at_most(name: str, found: float, aim: float | None, form: str = ".1%") -> Figure:
    if aim is None:
        return Figure(name, format(found, form))
    return Figure(name, format(found, form), f"at most {aim:{form}}", found <= aim)


def at_least(name: str, found: float, aim: float, form: str = ".1%") -> Figure:
    return Figure(name, format(found, form), f"at least {aim:{form}}", found >= aim)


# Words of the default transcriber, on clips along the truth


def words(_: argparse.Namespace) -> Iterator[Figure]:
    engine = transcription.loaded_engine("default")
    least = engine.thresholds()["min_asr_confidence"]
    pairs: list[tuple[str, Transcript]] = []
    for name, aim in (("read", 0.015), ("read, noisy", None), ("examples", 0.06)):
        clips = [c for c in transcription.CONDITIONS[name]() if c.text is not None]
        started = time.process_time()
        heard = engine.transcribe([clip.samples for clip in clips])
        spent = time.process_time() - started
        own = [(clip.text or "", one) for clip, one in zip(clips, heard, strict=True)]
        seconds = sum(clip.samples.size for clip in clips) / transcription.RATE
        yield at_most(f"word error, {name}", word_error(own), aim)
        yield Figure(f"CPU s per s of transcribing, {name}", f"{spent / seconds:.3f}")
        pairs += own
    right = [one for truth, heard in pairs for one in judged_words(truth, heard)]
    yield Figure("AUC of confidence for a word being right", f"{auc(right):.2f}")
    kept = [pair for pair in pairs if pair[1].asr_confidence >= least]
    share = spoken(kept) / spoken(pairs)
    yield Figure(f"words in clips at confidence {least:g} or more", f"{share:.1%}")
    yield Figure("word error of those", f"{word_error(kept):.1%}")


def word_error(pairs: Sequence[tuple[str, Transcript]]) -> float:
    import jiwer

    truth, heard = zip(*((normalize(t), normalize(h.text)) for t, h in pairs), strict=True)
    return float(jiwer.wer(list(truth), list(heard)))


def spoken(pairs: Iterable[tuple[str, Transcript]]) -> int:
    return sum(len(normalize(truth).split()) for truth, _ in pairs)


def judged_words(truth: str, heard: Transcript) -> list[tuple[bool, float]]:
    """Return of each word that was heard whether it is right, and its confidence."""
    import jiwer

    said = [(part, w.confidence) for w in heard.words for part in normalize(w.word).split()]
    if not said or not normalize(truth):
        return []
    found = jiwer.process_words(normalize(truth), " ".join(word for word, _ in said))
    equal = {
        index
        for chunk in found.alignments[0]
        if chunk.type == "equal"
        for index in range(chunk.hyp_start_idx, chunk.hyp_end_idx)
    }
    return [(index in equal, confidence) for index, (_, confidence) in enumerate(said)]


def auc(judged: Sequence[tuple[bool, float]]) -> float:
    """Return the chance that a right word is more confident than a wrong one."""
    right = np.array([confidence for good, confidence in judged if good])
    wrong = np.array([confidence for good, confidence in judged if not good])
    above = (right[:, None] > wrong).mean() + (right[:, None] == wrong).mean() / 2
    return float(above)


# A build of real recordings


def built(arguments: argparse.Namespace) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="wavemill-real-") as folder:
        silence = Path(folder, "silence")
        silence.mkdir()
        for number, samples in enumerate(transcription.silence()):
            soundfile.write(silence / f"{number}.flac", samples, transcription.RATE)
        kinds = ("meetings", "read", FOREIGN, *QUIET[:-1])
        sources = [*(audio_folder() / kind for kind in kinds), silence]
        before = cpu_seconds()
        with redirect_stdout(sys.stderr):
            out = str(arguments.keep or Path(folder, "work"))
            work = wavemill.curate(list(map(str, sources)), out, executor="inline")
        spent = cpu_seconds() - before
        names = ("source", "start_ms", "end_ms", "text", "status")
        with work:
            rows = work.segments.select(", ".join(names)).fetchall()
            ((audio_ms,),) = work.database.sql(AUDIO).fetchall()
    segments = [dict(zip(names, row, strict=True)) for row in rows]
    by_kind = {
        kind: [s for s in segments if Path(s["source"]).parent.name == kind]
        for kind in (*kinds, "silence")
    }
    kept = {k: [s for s in some if s["status"] == "kept"] for k, some in by_kind.items()}
    yield from meetings(by_kind["meetings"], kept["meetings"])
    yield through_the_pipeline(by_kind["read"])
    phantoms = [s["text"] for kind in QUIET for s in kept[kind]]
    yield Figure(
        "clips kept of noise, music, events and silence",
        "; ".join([str(len(phantoms)), *phantoms]),
        "0",
        not phantoms,
    )
    foreign = [s["text"] for s in kept[FOREIGN]]
    found = f"{len(by_kind[FOREIGN])} clips, {len(foreign)} kept"
    yield Figure("another language (Mandarin)", found, "0 kept", not foreign)
    per_second = spent / (audio_ms / 1000)
    yield at_most("CPU s per s of the build, models loaded", per_second, 2 / SPEED, ".3f")


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def meetings(found: Sequence[dict[str, Any]], kept: Sequence[dict[str, Any]]) -> Iterator[Figure]:
    """How much of the speech of the reference is missed, and in clips that are kept."""
    known = extracts()
    total = missed = in_kept = in_found = 0
    for name, conversation in known.items():
        speech = speech_of(conversation)
        total += length(speech)
        inside = length(intersect(speech, of_recording(found, name)))
        missed += length(speech) - inside
        in_found += inside
        in_kept += length(intersect(speech, of_recording(kept, name)))
    yield Figure("meetings: speech in no clip", f"{missed / total:.1%}")
    yield at_least("meetings: speech in clips that are kept", in_kept / total, 0.85)
    yield Figure("the same, of the speech in clips", f"{in_kept / in_found:.1%}")


def speech_of(conversation: Conversation) -> list[Span]:
    spans = [(round(start * 1000), round(end * 1000)) for start, end, _ in conversation.spoken]
    return union(sorted(spans))


def of_recording(segments: Iterable[dict[str, Any]], name: str) -> list[Span]:
    own = [(s["start_ms"], s["end_ms"]) for s in segments if Path(s["source"]).stem == name]
    return union(sorted(own))


def through_the_pipeline(segments: Sequence[dict[str, Any]]) -> Figure:
    """Word error of the recordings whose words are known, all their clips joined."""
    import jiwer

    lines = (audio_folder() / "read" / "transcripts.jsonl").read_text("utf-8").splitlines()
    truth, heard = [], []
    for entry in map(json.loads, lines):
        own = [s for s in segments if Path(s["source"]).name == entry["audio"]]
        own.sort(key=lambda s: int(s["start_ms"]))
        truth.append(normalize(entry["text"]))
        heard.append(normalize(" ".join(s["text"] for s in own if s["status"] == "kept")))
    error = float(jiwer.wer(truth, heard))
    return at_most("word error of recordings through the pipeline, what is kept", error, 0.05)


# Voices and denoisers


def voices(arguments: argparse.Namespace) -> Iterator[Figure]:
    known = conversations()
    if arguments.quick:
        known = {name: c for name, c in known.items() if c.kind in QUICK_KINDS}
    bench = diarization.Bench(known, "original", CampplusConfig())
    scores = bench.post_processed()
    for kind in {c.kind: None for c in known.values()}:
        total = bench.of_kind(scores, kind).sum(axis=0)
        described = KINDS[kind]
        wrong = diarization.confusion(total)
        yield at_most(f"voices confused: {described}", wrong, CONFUSION_AIMS.get(kind), ".3f")
        if kind in ("extracts", "examples"):
            missed, alarm = (total[1:3] / total[0]).tolist()
            yield Figure(f"speech missed, false alarm: {described}", f"{missed:.3f}, {alarm:.3f}")
        if kind == "six":
            counts = bench.of_kind(scores, kind)[:, 4].astype(int).tolist()
            fit = all(abs(count - 6) <= 1 for count in counts)
            yield Figure("labels of six voices", ", ".join(map(str, counts)), "5 to 7 each", fit)
    yield at_most("CPU s per s of diarizing", bench.cpu / bench.seconds, 0.06, ".3f")


def denoisers(arguments: argparse.Namespace) -> Iterator[Figure]:
    quick = arguments.quick
    sets = denoise.conditions(quick)
    for way in DENOISERS[1:] if quick else DENOISERS:
        parts = map(partial(denoise.measured, denoise.WAYS[way]()), sets.values())
        found = denoise.mean(list(parts))
        yield Figure(
            f"denoise by {way}: DNSMOS overall, word error, CPU s per s",
            f"{found.overall:.2f}, {found.word_error or 0:.1%}, {found.cpu / found.seconds:.3f}",
        )


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Figure]]] = {
    "words": words,
    "build": built,
    "voices": voices,
    "denoisers": denoisers,
}

if __name__ == "__main__":
    main()
