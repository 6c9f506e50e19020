"""Diarization of known speakers: missed speech, false alarm and speaker confusion.

    python -m benchmarks.diarization              the tables, on original and denoised audio
    python -m benchmarks.diarization extracts six --original    some of them
    python -m benchmarks.diarization --speech silero    with the other model of speech; also below
    python -m benchmarks.diarization extracts --thresholds    speech found, by both models of it
    python -m benchmarks.diarization --tune 500   500 random settings, and leave one out
    python -m benchmarks.diarization --alike      cosines, for the thresholds of post-processing
    python -m benchmarks.diarization --hours 1    speed and memory on a long recording

What is heard: see benchmarks/conversations.py. Scored with pyannote.metrics over the whole of each
conversation, overlapped speech skipped, no collar. Figures: benchmarks/diarization.md.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.conversations import KINDS, RATE, Conversation, Samples, conversations, extracts
from wavemill.stages.denoise.rnnoise import RNNoise
from wavemill.stages.diarize.campplus import Campplus, CampplusConfig
from wavemill.stages.diarize.engine import Diarization, TrackAudio, Turn
from wavemill.stages.diarize.segmentation import WEIGHTS as SEGMENTATION
from wavemill.stages.diarize.segmentation import ChanceStream, SegmentationConfig, spans_of
from wavemill.stages.diarize.segmentation_network import SegmentationNetwork
from wavemill.stages.diarize.spans import Span, intersect, length, union
from wavemill.stages.diarize.stage import Config, Diarize
from wavemill.stages.diarize.vad import VadConfig, open_session
from wavemill.stages.diarize.vad import find_speech as find_by_silero
from wavemill.stages.diarize.vbx import ClusteringConfig, cluster
from wavemill.stages.engine import EngineConfig

SPEAKERS = 4  # column of the scores
WEIGHTS = {"extracts": 3, "few": 1, "six": 2, "many": 1, "alone": 1, "examples": 1}
CHOICES: dict[str, tuple[float, ...]] = {
    "start_similarity": (0.5, 0.525, 0.55, 0.575, 0.6),
    "window_ms": (1500, 2000, 2500),
    "around_ms": (800, 1000, 1200, 1500),
    "stay": (0.8, 0.9, 0.95),
    "between_ratio": (1.5, 2.0, 3.0, 4.5),
    "evidence_scale": (0.07, 0.1, 0.15, 0.2, 0.3),
    "prior_scale": (2, 3, 4, 6, 8, 12),
}
Scores = dict[str, np.ndarray]  # name -> seconds of reference, missed, false, confused; speakers


@dataclass
class ArrayTrack:
    """A track over samples in memory at 16 kHz."""

    samples: np.ndarray
    track: int = 0

    def read(self, start_ms: int, end_ms: int, sample_rate: int | None = None) -> np.ndarray:
        assert sample_rate in (None, RATE)
        return self.samples[start_ms * RATE // 1000 : end_ms * RATE // 1000]

    def stream(self, sample_rate: int, chunk_ms: int = 60_000) -> Iterator[np.ndarray]:
        assert sample_rate == RATE
        step = chunk_ms * RATE // 1000
        for first in range(0, len(self.samples), step):
            yield self.samples[first : first + step]


@dataclass
class LoopTrack:
    """A track that says the same samples again and again, and holds them once."""

    samples: np.ndarray
    length: int  # in samples
    track: int = 0

    def read(self, start_ms: int, end_ms: int, sample_rate: int | None = None) -> np.ndarray:
        assert sample_rate in (None, RATE)
        first, last = (min(ms * RATE // 1000, self.length) for ms in (start_ms, end_ms))
        return np.take(self.samples, np.arange(first, last), mode="wrap")

    def stream(self, sample_rate: int, chunk_ms: int = 60_000) -> Iterator[np.ndarray]:
        for start_ms in range(0, self.length * 1000 // RATE, chunk_ms):
            yield self.read(start_ms, start_ms + chunk_ms, sample_rate)


class Known(Campplus):
    """The engine with its answer already there, for the stage around it."""

    def __init__(self, found: Diarization) -> None:
        super().__init__(CampplusConfig())
        self._found = found

    def diarize(self, track: TrackAudio, regions: Sequence[Span] = ()) -> Diarization:  # noqa: ARG002
        return self._found


def enhanced(samples: Samples) -> Samples:
    """Return the samples after RNNoise."""
    import soxr

    engine = RNNoise(EngineConfig())
    engine.load("cpu")
    wide = engine.enhance(iter([soxr.resample(samples, RATE, RNNoise.sample_rate)]))
    narrow = soxr.resample(np.concatenate(list(wide)), RNNoise.sample_rate, RATE)
    return np.asarray(narrow[: len(samples)], np.float32)


def score(conversation: Conversation, turns: Sequence[Turn]) -> np.ndarray:
    """Return seconds of (reference, missed, false alarm, confused), and speakers found."""
    from pyannote.core import Annotation, Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate

    reference, hypothesis = Annotation(), Annotation()
    for index, (start, end, speaker) in enumerate(conversation.spoken):
        reference[Segment(start, end), index] = speaker
    for index, turn in enumerate(turns):
        hypothesis[Segment(turn.start_ms / 1000, turn.end_ms / 1000), index] = str(turn.speaker)
    metric = DiarizationErrorRate(collar=0.0, skip_overlap=True)
    uem = Timeline([Segment(0, len(conversation.samples) / RATE)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = metric(reference, hypothesis, uem=uem, detailed=True)
    seconds = [parts[key] for key in ("total", "missed detection", "false alarm", "confusion")]
    return np.array([*seconds, len({turn.speaker for turn in turns})])


def confusion(total: np.ndarray) -> float:
    """Return the confusion as a share of the reference speech that was detected."""
    return float(total[3] / max(total[0] - total[1], 1e-9))


def row(name: str, s: np.ndarray) -> str:
    return (
        f"{name:34s} {s[0]:6.1f}  {s[1] / s[0]:6.3f}  {s[2] / s[0]:6.3f}"
        f"  {s[3] / s[0]:6.3f}  {confusion(s):6.3f}"
    )


class Bench:
    """Conversations, original or enhanced, with their diarizations by the engine."""

    def __init__(
        self, known: Mapping[str, Conversation], version: str, config: CampplusConfig
    ) -> None:
        self.known, self.engine = known, loaded(config)
        self.audio = {
            name: c.samples if version == "original" else enhanced(c.samples)
            for name, c in known.items()
        }
        began = time.process_time()
        self.found = {n: self.engine.diarize(ArrayTrack(x)) for n, x in self.audio.items()}
        self.cpu = time.process_time() - began
        self.seconds = sum(len(x) for x in self.audio.values()) / RATE

    def scored(self, turns: Mapping[str, Sequence[Turn]]) -> Scores:
        return {name: score(c, turns[name]) for name, c in self.known.items()}

    def one_speaker(self) -> Scores:
        return self.scored({n: [Turn(*s, 0) for s in f.speech] for n, f in self.found.items()})

    def chosen(self) -> Scores:
        return self.scored({n: f.turns for n, f in self.found.items()})

    def with_clustering(self, config: ClusteringConfig) -> Scores:
        turns = {}
        for name, found in self.found.items():
            cells, speakers = cluster(found.speech, found.embed, config)
            pairs = zip(cells, speakers.tolist(), strict=True)
            turns[name] = [Turn(start, end, speaker) for (start, end), speaker in pairs]
        return self.scored(turns)

    def post_processed(self) -> Scores:
        turns = {}
        for name, found in self.found.items():
            stage = Diarize(Config(), engine=Known(found))  # type: ignore[arg-type]
            turns[name] = [
                Turn(start, end, s.turn.speaker)
                for s in stage.segments(ArrayTrack(self.audio[name]))
                for start, end in intersect(found.speech, [(s.turn.start_ms, s.turn.end_ms)])
            ]
        return self.scored(turns)

    def of_kind(self, scores: Scores, kind: str) -> np.ndarray:
        return np.array([scores[name] for name, c in self.known.items() if c.kind == kind])


def loaded(config: CampplusConfig) -> Campplus:
    engine = Campplus(config)
    engine.load("cpu")
    return engine


def table(version: str, known: Mapping[str, Conversation], config: CampplusConfig) -> None:
    bench = Bench(known, version, config)
    print(f"\n{version}: reference s, missed, false alarm, confused / reference, / detected")
    one, chosen, processed = bench.one_speaker(), bench.chosen(), bench.post_processed()
    print(f"{bench.cpu / bench.seconds:.4f} CPU s per s of audio, the engine alone")
    for kind, described in KINDS.items():
        if kind not in {c.kind for c in known.values()}:
            continue
        print(row(f"{described}: one speaker", bench.of_kind(one, kind).sum(axis=0)))
        print(row("  campplus", bench.of_kind(chosen, kind).sum(axis=0)))
        print(row("  with post-processing", bench.of_kind(processed, kind).sum(axis=0)))
        for name, conversation in known.items():
            if conversation.kind == kind:
                there = len({speaker for *_, speaker in conversation.spoken})
                print(row(f"    {name}", processed[name]), f" {processed[name][4]:.0f} of {there}")


def thresholds(known: Mapping[str, Conversation]) -> None:
    """Print the speech that each model misses and adds, and overlap, by threshold and padding."""
    audio = [c.samples for c in known.values()]
    seconds = sum(map(len, audio)) / RATE
    print("model, threshold, padding: missed, false alarm / reference")
    began = time.process_time()
    session = open_session()
    for threshold, pad in itertools.product((0.2, 0.3, 0.5), (30, 100)):
        silero = VadConfig(threshold=threshold, speech_pad_ms=pad)
        found = [find_by_silero(session, silero, [x]).speech for x in audio]
        print(f"silero        {threshold} {pad:4d}  {speech_errors(known, found)}", flush=True)
    print(f"  {(time.process_time() - began) / seconds / 6:.4f} CPU s per s")
    network = SegmentationNetwork.load(SEGMENTATION.checked())
    for step_ms in (9900, 5000, 2500):
        began = time.process_time()
        chances = [chances_of(network, x, step_ms) for x in audio]
        spent = (time.process_time() - began) / seconds
        print(f"segmentation, a window every {step_ms / 1000:g} s: {spent:.4f} CPU s per s")
        for threshold, pad in itertools.product((0.5, 0.6, 0.7), (50, 100)):
            config = SegmentationConfig(threshold=threshold, speech_pad_ms=pad)
            found = [
                spans_of(c, len(x), config).speech for c, x in zip(chances, audio, strict=True)
            ]
            print(f"segmentation  {threshold} {pad:4d}  {speech_errors(known, found)}", flush=True)
        config = SegmentationConfig()
        several = [spans_of(c, len(x), config).overlap for c, x in zip(chances, audio, strict=True)]
        print(f"  overlap: {overlap_found(known, several)}")


def overlap_found(known: Mapping[str, Conversation], found: Sequence[Sequence[Span]]) -> str:
    """Return how much of what several say at once is missed, and added, by what they say."""
    total = missed = added = 0
    for conversation, spans in zip(known.values(), found, strict=True):
        turns = [(round(a * 1000), round(b * 1000), who) for a, b, who in conversation.spoken]
        pairs = [
            (max(a, c), min(b, d))
            for (a, b, who), (c, d, other) in itertools.combinations(turns, 2)
            if who != other and max(a, c) < min(b, d)
        ]
        there = union(sorted(pairs))
        right = length(intersect(there, spans))
        total, missed = total + length(there), missed + length(there) - right
        added += length(spans) - right
    return f"{missed / total:.3f}  {added / total:.3f}"


def chances_of(network: SegmentationNetwork, samples: Samples, step_ms: int) -> Samples:
    stream = ChanceStream(network, step_ms)
    stream.feed(samples)
    return stream.finish()


def speech_errors(known: Mapping[str, Conversation], found: Sequence[Sequence[Span]]) -> str:
    total = sum(
        score(c, [Turn(start, end, 0) for start, end in spans])
        for c, spans in zip(known.values(), found, strict=True)
    )
    return f"{total[1] / total[0]:.3f}  {total[2] / total[0]:.3f}"


def objective(tables: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the weighted confusion of each setting; tables are (settings, conversations, 5)."""
    parts = []
    for kind, weight in WEIGHTS.items():
        sums = tables[kind].sum(axis=1)
        parts.append(weight * sums[:, 3] / np.maximum(sums[:, 0] - sums[:, 1], 1e-9))
    return np.sum(parts, axis=0) / sum(WEIGHTS.values())


def tune(known: Mapping[str, Conversation], count: int, config: CampplusConfig) -> None:
    """Try settings at random; choose on all but one extract and score that one."""
    bench, generator = Bench(known, "original", config), np.random.default_rng(5)
    settings = [
        {name: generator.choice(values).item() for name, values in CHOICES.items()}
        for _ in range(count)
    ]
    tries = [bench.with_clustering(ClusteringConfig(**s)) for s in settings]
    tables = {kind: np.array([bench.of_kind(t, kind) for t in tries]) for kind in KINDS}
    order = np.argsort(objective(tables))
    for index in order[:10].tolist():
        figures = {k: round(confusion(t[index].sum(axis=0)), 3) for k, t in tables.items()}
        print(figures, settings[index])
    for kind, table_ in tables.items():
        held_out = np.zeros(5)
        for index in range(table_.shape[1] if table_.shape[1] > 1 else 0):
            others = {**tables, kind: np.delete(table_, index, axis=1)}
            held_out += table_[int(np.argmin(objective(others))), index]
        print(f"leave one out, {kind}: {confusion(held_out):.3f}")


def alike(known: Mapping[str, Conversation], config: CampplusConfig) -> None:
    """Print cosines of 1.5 s of the same and of other speakers, neighbours, and of whole voices."""
    bench = Bench(known, "original", config)
    found: dict[str, list[float]] = {}
    for name, conversation in known.items():
        cells: dict[str, list[Span]] = {}
        for start, end, speaker in conversation.spoken:
            first, last = int(start * 1000), int(end * 1000)
            cells.setdefault(speaker, []).extend(
                (s, s + 1500) for s in range(first, last - 1499, 1500)
            )
        embed = bench.found[name].embed
        vectors = {s: embed(spans) for s, spans in cells.items() if len(spans) > 3}
        means = {s: _unit(v.mean(axis=0)) for s, v in vectors.items()}
        for speaker, own in vectors.items():
            found.setdefault("neighbouring chunks of one", []).extend(np.sum(own[1:] * own[:-1], 1))
            halves = [_unit(part.mean(axis=0)) for part in np.array_split(own, 2)]
            found.setdefault("halves of one", []).append(float(halves[0] @ halves[1]))
            for other in vectors:
                if other < speaker:
                    cosines = (own @ vectors[other].T).ravel()
                    found.setdefault("chunks of two", []).extend(cosines)
                    voice = float(means[speaker] @ means[other])
                    found.setdefault("voices of two", []).append(voice)
    for what, cosines in found.items():
        print(f"{what:28s}", np.round(np.percentile(cosines, (1, 10, 50, 90, 99)), 2))


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12))


def long_recording(hours: float, known: Mapping[str, Conversation], config: CampplusConfig) -> None:
    track = LoopTrack(np.concatenate([c.samples for c in known.values()]), int(hours * 3600) * RATE)
    engine = loaded(config)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.process_time()
    segments = Diarize(Config(), engine=engine).segments(track)  # type: ignore[arg-type]
    took = (time.process_time() - began) / (hours * 3600)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{hours:.2f} h: {took:.4f} CPU s per s of audio, {len(segments)} segments,"
        f" {len({s.turn.speaker for s in segments})} speakers, peak {peak:.0f} MiB, of which"
        f" {before:.0f} before it began"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("kinds", nargs="*", default=list(KINDS), help=", ".join(KINDS))
    parser.add_argument("--speech", choices=("segmentation", "silero"), default="segmentation")
    parser.add_argument("--original", action="store_true", help="no table of denoised audio")
    parser.add_argument("--tune", type=int, help="number of random settings")
    parser.add_argument("--thresholds", action="store_true")
    parser.add_argument("--alike", action="store_true")
    parser.add_argument("--hours", type=float)
    arguments = parser.parse_args()
    config = CampplusConfig(speech=arguments.speech)
    if arguments.hours:
        long_recording(arguments.hours, extracts(), config)
        return
    known = {n: c for n, c in conversations().items() if c.kind in arguments.kinds}
    if arguments.thresholds:
        thresholds(known)
    elif arguments.tune:
        tune(known, arguments.tune, config)
    elif arguments.alike:
        alike(known, config)
    else:
        for version in ("original", "enhanced")[: 1 if arguments.original else 2]:
            table(version, known, config)


if __name__ == "__main__":
    main()
