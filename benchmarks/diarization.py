"""Diarization of real half-minute extracts: missed speech, false alarm and speaker confusion.

    python -m benchmarks.diarization              the table
    python -m benchmarks.diarization --calibrate  the constants in stages/diarize/voices.py
    python -m benchmarks.diarization --hours 1    speed and memory on a long recording

WAVEMILL_AUDIO names the folder of recordings (default: ../shared/audio beside the repository).
Scored with pyannote.metrics over the whole extract, overlapped speech skipped, no collar.
Figures are recorded in benchmarks/diarization.md.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import numpy as np

from wavemill.stages.denoise.rnnoise import RNNoise
from wavemill.stages.diarize.clustering import ClusteringConfig
from wavemill.stages.diarize.engine import Diarization, Turn
from wavemill.stages.diarize.silero import SileroClustering, SileroConfig
from wavemill.stages.diarize.spans import Span, intersect
from wavemill.stages.diarize.stage import Config, Diarize
from wavemill.stages.diarize.voices import CHUNK_S, FLICKER_FRAMES, mean_voices
from wavemill.stages.engine import EngineConfig

RATE = 16_000
AUDIO = Path(
    os.environ.get("WAVEMILL_AUDIO", Path(__file__).resolve().parents[2] / "shared" / "audio")
)
Turns = list[Turn]
Scores = dict[str, np.ndarray]  # extract -> seconds of reference, missed, false alarm, confused


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


def load(path: Path) -> np.ndarray:
    import soundfile
    import soxr

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples[:, 0], rate, RATE), np.float32)


def enhanced(samples: np.ndarray) -> np.ndarray:
    """Return the samples after the denoise stage's default engine."""
    import soxr

    engine = RNNoise(EngineConfig())
    engine.load("cpu")
    wide = engine.enhance(iter([soxr.resample(samples, RATE, RNNoise.sample_rate)]))
    narrow = soxr.resample(np.concatenate(list(wide)), RNNoise.sample_rate, RATE)
    return np.asarray(narrow[: len(samples)], np.float32)


def references() -> dict:
    from pyannote.core import Annotation, Segment

    out: dict = {}
    for line in (AUDIO / "meetings" / "reference.rttm").read_text("utf-8").splitlines():
        _, uri, _, start, duration, _, _, speaker, *_ = line.split()
        annotation = out.setdefault(uri, Annotation(uri=uri))
        segment = Segment(float(start), float(start) + float(duration))
        annotation[segment, annotation.new_track(segment)] = speaker
    return dict(sorted(out.items()))


def score(reference, turns: Turns, duration_s: float) -> np.ndarray:
    """Return seconds of (reference, missed, false alarm, confused)."""
    from pyannote.core import Annotation, Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate

    hypothesis = Annotation(uri=reference.uri)
    for index, turn in enumerate(turns):
        hypothesis[Segment(turn.start_ms / 1000, turn.end_ms / 1000), index] = str(turn.speaker)
    metric = DiarizationErrorRate(collar=0.0, skip_overlap=True)
    uem = Timeline([Segment(0, duration_s)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = metric(reference, hypothesis, uem=uem, detailed=True)
    return np.array(
        [parts[key] for key in ("total", "missed detection", "false alarm", "confusion")]
    )


def confusion(total: np.ndarray) -> float:
    """Return the confusion as a share of the reference speech that was detected."""
    return float(total[3] / max(total[0] - total[1], 1e-9))


def row(name: str, s: np.ndarray) -> str:
    return (
        f"{name:34s} {s[0]:6.1f}  {s[1] / s[0]:6.3f}  {s[2] / s[0]:6.3f}"
        f"  {s[3] / s[0]:6.3f}  {confusion(s):6.3f}"
    )


def total(scores: Scores) -> np.ndarray:
    return np.sum(list(scores.values()), axis=0)


class Bench:
    """The extracts, original or enhanced, with their diarizations by the engine."""

    def __init__(self, original: dict[str, np.ndarray], version: str) -> None:
        self.references = references()
        self.audio = (
            original if version == "original" else {u: enhanced(x) for u, x in original.items()}
        )
        self.engine = loaded(SileroConfig())
        self.found = {u: self.engine.diarize(ArrayTrack(x)) for u, x in self.audio.items()}

    def scored(self, method: Callable[[str], Turns]) -> Scores:
        return {
            u: score(self.references[u], method(u), len(self.audio[u]) / RATE)
            for u in self.references
        }

    def one_speaker(self, uri: str) -> Turns:
        return [Turn(start, end, 0) for start, end in self.found[uri].speech]

    def chosen(self, uri: str) -> Turns:
        return list(self.found[uri].turns)

    def with_clustering(self, config: ClusteringConfig) -> Scores:
        engine = loaded(SileroConfig(clustering=config))
        return self.scored(lambda u: list(engine.diarize(ArrayTrack(self.audio[u])).turns))

    def post_processed(self, uri: str) -> Turns:
        stage = Diarize(Config(), engine=self.engine)  # type: ignore[arg-type]
        return [
            Turn(start, end, s.turn.speaker)
            for s in stage.segments(ArrayTrack(self.audio[uri]))
            for start, end in intersect(self.found[uri].speech, [(s.turn.start_ms, s.turn.end_ms)])
        ]

    def voice_ahc(self, threshold: float) -> Scores:
        """Alternative: average-link clustering of the chunks' embeddings, no time model."""
        return self.scored(lambda u: linked(self.found[u], self.found[u].embed, threshold))

    def mfcc_ahc(self, threshold: float) -> Scores:
        """Alternative: the same over mean cepstra of the chunks, normalised per recording."""
        return self.scored(lambda u: linked(self.found[u], self._means(u), threshold))

    def _means(self, uri: str) -> Callable[[list[Span]], np.ndarray]:
        from wavemill.stages.diarize.cepstra import CepstraStream

        stream = CepstraStream()
        stream.feed(self.audio[uri])
        values = stream.finish().values[:, 1:]

        def embed(spans: list[Span]) -> np.ndarray:
            means = np.stack(
                [values[s // 10 : max(s // 10 + 1, e // 10)].mean(0) for s, e in spans]
            )
            white = (means - means.mean(0)) / np.maximum(means.std(0), 1e-3)
            return white / np.maximum(np.linalg.norm(white, axis=1, keepdims=True), 1e-9)

        return embed


def loaded(config: SileroConfig) -> SileroClustering:
    engine = SileroClustering(config)
    engine.load("cpu")
    return engine


def linked(found: Diarization, embed: Callable, threshold: float) -> Turns:
    from scipy.cluster.hierarchy import fcluster, linkage

    spans: list[Span] = []
    for start, end in found.speech:
        count = max(1, round((end - start) / 1000 / CHUNK_S))
        spans += pairwise(start + (end - start) * i // count for i in range(count + 1))
    if len(spans) < 2:
        return [Turn(start, end, 0) for start, end in spans]
    tree = linkage(embed(spans), "average", metric="cosine")
    labels = fcluster(np.maximum(tree, 0), 1 - threshold, "distance")
    return [Turn(s, e, int(label)) for (s, e), label in zip(spans, labels, strict=True)]


def leave_one_out(tries: list[Scores]) -> np.ndarray:
    """Choose the constants on all extracts but one, score that one; summed over all."""
    table = np.array([list(scores.values()) for scores in tries])
    whole = table.sum(axis=1)
    held_out = np.zeros(4)
    for index in range(table.shape[1]):
        others = [confusion(sums) for sums in whole - table[:, index]]
        ties = np.flatnonzero(np.asarray(others) < min(others) + 1e-6)
        held_out += table[ties[len(ties) // 2], index]
    return held_out


def table(version: str, original: dict[str, np.ndarray], tune: bool) -> None:
    bench = Bench(original, version)
    print(f"\n{version}: reference s, missed, false alarm, confused / reference, / detected")
    flat = {u: score(r, [Turn(0, 30_000, 0)], 30.0) for u, r in bench.references.items()}
    print(row("one speaker, all the time", total(flat)))
    print(row("one speaker, Silero VAD", total(bench.scored(bench.one_speaker))))
    chosen = bench.scored(bench.chosen)
    print(row("chosen: phonetic voices, VB-HMM", total(chosen)))
    print(row("  with post-processing", total(bench.scored(bench.post_processed))))
    for uri, scores in chosen.items():
        print(row(f"    {uri}", scores))
    thresholds = np.arange(-0.6, 0.96, 0.05)
    for name, method in (("mean cepstra, AHC", bench.mfcc_ahc), ("voices, AHC", bench.voice_ahc)):
        tries = [method(float(t)) for t in thresholds]
        best = min(tries, key=lambda s: confusion(total(s)))
        print(row(f"{name}, best threshold", total(best)))
        print(row(f"{name}, leave one out", leave_one_out(tries)))
    if tune:
        grid = product((0.6, 0.7, 0.8), (2.0, 3.0, 4.5, 6.0, 9.0, 12.0))
        tries = [
            bench.with_clustering(ClusteringConfig(evidence_scale=a, speaker_cost=c))
            for a, c in grid
        ]
        spread = sorted(confusion(total(s)) for s in tries)
        print("grid of evidence_scale x speaker_cost:", " ".join(f"{x:.3f}" for x in spread))
        print(row("chosen, leave one out", leave_one_out(tries)))


def single_speakers() -> dict[str, np.ndarray]:
    """Recordings of one speaker each; no meetings."""
    out = {p.stem: load(p) for p in sorted((AUDIO / "read").glob("*.flac"))}
    out["mandarin"] = load(AUDIO / "mandarin" / "asr_example.wav")
    for name in ("george", "jackson", "nicolas", "theo"):
        paths = sorted((AUDIO / "digits").glob(f"*_{name}_*.wav"))
        np.random.default_rng(0).shuffle(paths)  # type: ignore[arg-type]
        out[name] = np.concatenate([load(path) for path in paths[:120]])
    return out


def calibrate() -> None:
    """Print WITHIN and FLICKER: see stages/diarize/voices.py."""
    config = SileroConfig()
    engine = loaded(config)
    length = round(CHUNK_S * 100) // config.frame_step
    within, flicker = [], []
    for treat in (np.asarray, enhanced):
        squares, count, short = np.zeros(12), 0, []
        for samples in single_speakers().values():
            statistics = engine.statistics(ArrayTrack(treat(samples)))
            long = mean_voices(statistics, length)
            squares += ((long - long.mean(axis=0)) ** 2).sum(axis=0)
            count += len(long) - 1
            pieces = mean_voices(statistics, FLICKER_FRAMES // config.frame_step)
            short.append(np.mean(np.diff(pieces, axis=0) ** 2, axis=0) / 2)
        within.append(squares / count)
        flicker.append(np.mean(short, axis=0))
    ratio = np.mean(np.array(within) / np.array(flicker), axis=0)
    deviation = np.sqrt(np.mean(within, axis=0))
    print("WITHIN ", np.round(deviation, 2).tolist())
    print("FLICKER", np.round(deviation / np.sqrt(ratio), 2).tolist())


def long_recording(hours: float, original: dict[str, np.ndarray]) -> None:
    once = np.concatenate(list(original.values()))
    samples = np.tile(once, int(np.ceil(hours * 3600 * RATE / len(once))))
    engine = loaded(SileroConfig())
    began = time.perf_counter()
    segments = Diarize(Config(), engine=engine).segments(ArrayTrack(samples))  # type: ignore[arg-type]
    took, heard = time.perf_counter() - began, len(samples) / RATE / 3600
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{heard:.2f} h: {took / heard:.1f} s per hour of audio, {heard * 3600 / took:.0f} x real"
        f" time, {len(segments)} segments, {len({s.turn.speaker for s in segments})} speakers,"
        f" peak {peak:.0f} MiB, of which the samples {samples.nbytes / 2**20:.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--tune", action="store_true", help="also the grid and leave one out")
    parser.add_argument("--hours", type=float)
    arguments = parser.parse_args()
    if arguments.calibrate:
        calibrate()
        return
    original = {uri: load(AUDIO / "meetings" / f"{uri}.flac") for uri in references()}
    if arguments.hours:
        long_recording(arguments.hours, original)
        return
    for version in ("original", "enhanced"):
        table(version, original, arguments.tune)


if __name__ == "__main__":
    main()
