"""How much of the machine's time goes into the engines: `wavemill curate` beside a bare loop.

    python -m benchmarks.curate --minutes 20

The bare loop calls the same engines on arrays in memory, one recording after another in
`os.cpu_count()` processes: no storage, no FLAC, no tables, no Ray. Both work on the same files;
loading the engines counts for both, starting Ray (and the pool's processes) for neither.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.material import make_material
from wavemill.pipeline.task import TASK_RESULT

CLIP_RATE = 16_000  # Hz: what all engines but the denoiser want


class ArrayTrack:
    """A track in memory, as the diarize stage reads it."""

    track = 0

    def __init__(self, samples: np.ndarray) -> None:
        self.samples = samples

    def read(self, start_ms: int, end_ms: int, sample_rate: int | None = None) -> np.ndarray:
        assert sample_rate in (None, CLIP_RATE)
        return self.samples[start_ms * CLIP_RATE // 1000 : end_ms * CLIP_RATE // 1000]

    def stream(self, sample_rate: int, chunk_ms: int = 60_000) -> Iterator[np.ndarray]:
        assert sample_rate == CLIP_RATE
        step = chunk_ms * CLIP_RATE // 1000
        for start in range(0, len(self.samples), step):
            yield self.samples[start : start + step]


class BareLoop:
    """The engines of the embedded profile, called directly."""

    def __init__(self) -> None:
        from threadpoolctl import threadpool_limits

        from wavemill.pipeline.config import load_config
        from wavemill.pipeline.curation import Config
        from wavemill.stages.denoise.stage import Denoise
        from wavemill.stages.diarize.stage import Diarize
        from wavemill.stages.score_audio.stage import ScoreAudio
        from wavemill.stages.score_signal.stage import ScoreSignal
        from wavemill.stages.tokenize.stage import Tokenize
        from wavemill.stages.tokenize_text.stage import TokenizeText
        from wavemill.stages.transcribe.stage import Transcribe

        config = load_config(Config)
        shared = config.shared_settings()
        self.denoise = Denoise.build(config.settings_of(Denoise), shared=shared)
        self.diarize = Diarize.build(config.settings_of(Diarize))
        self.transcribe = Transcribe.build(config.settings_of(Transcribe))
        self.quality = ScoreAudio.build(config.settings_of(ScoreAudio))
        self.signal = config.settings_of(ScoreSignal)
        self.tokenize = Tokenize.build(config.settings_of(Tokenize))
        self.text = TokenizeText.build(config.settings_of(TokenizeText))
        self.limits = threadpool_limits(1)
        self.seconds: Counter[str] = Counter()

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self.seconds[step] += time.process_time() - started

    def run(self, path: str) -> None:
        from wavemill.manifests.identify import content_id
        from wavemill.manifests.recording import Recording
        from wavemill.model.tokenizer.kmeans import tokens_in
        from wavemill.stages.audio.decode import open_audio
        from wavemill.stages.audio.resample import resample
        from wavemill.stages.score_signal.signal import clipping_ratio, snr_db

        with self.timed("decode"), open_audio(path) as source:
            mono = np.concatenate([block.mean(axis=0) for block in source.blocks])
            rate = source.sample_rate
        with self.timed("resample"):
            track = published = ArrayTrack(resample(mono, rate, CLIP_RATE))
        if self.denoise.enhances(Recording(content_id(path), path, 0)):
            with self.timed("denoise"):
                wide = resample(mono, rate, 48_000)
                enhanced = np.concatenate(list(self.denoise.engine.enhance(iter([wide]))))
            with self.timed("resample"):
                published = ArrayTrack(resample(enhanced, 48_000, CLIP_RATE))
        with self.timed("diarize"):
            segments = self.diarize.segments(track)
        clips = [track.read(s.turn.start_ms, s.turn.end_ms) for s in segments]
        with self.timed("transcribe"):
            transcripts = self.transcribe.engine.transcribe(clips)
        clips = [published.read(s.turn.start_ms, s.turn.end_ms) for s in segments]
        with self.timed("score_audio"):
            for clip in clips:
                self.quality.engine.quality([np.clip(clip, -1, 1)])
        settings = self.signal
        with self.timed("score_signal"):
            for clip in clips:
                snr_db(clip, CLIP_RATE, settings.snr)
                clipping_ratio(clip, settings.clipping)
        with self.timed("tokenize"):
            for clip, segment in zip(clips, segments, strict=True):
                count = tokens_in(segment.turn.end_ms - segment.turn.start_ms)
                self.tokenize.engine.tokens([clip], [count])
        with self.timed("tokenize_text"):
            self.text.engine.encode([t.text for t in transcripts])


_LOOP: BareLoop | None = None


def _bare(path: str) -> dict[str, float]:
    """Run one recording in a process of the pool; return the CPU seconds by step."""
    global _LOOP  # one per process, as a pool's workers keep their state
    if _LOOP is None:
        _LOOP = BareLoop()
    _LOOP.seconds.clear()
    _LOOP.run(path)
    return dict(_LOOP.seconds)


class BarePool:
    """The bare loop in processes that stay, so that it can be measured in several parts."""

    def __init__(self, workers: int) -> None:
        self._pool = multiprocessing.get_context("spawn").Pool(workers)
        self._pool.map(_nothing, range(workers))
        self.wall = 0.0
        self.steps: Counter[str] = Counter()

    def run(self, paths: list[Path]) -> None:
        """Add wall seconds and CPU seconds by step of these recordings, the longest first."""
        ordered = sorted(paths, key=lambda p: -p.stat().st_size)
        started = time.perf_counter()
        for seconds in self._pool.imap_unordered(_bare, [str(p) for p in ordered]):
            self.steps.update(seconds)
        self.wall += time.perf_counter() - started

    def close(self) -> None:
        self._pool.terminate()


def _nothing(_: int) -> None:
    pass


def measure_wavemill(folder: Path, out: Path, workers: int) -> tuple[float, Counter[str]]:
    """Return wall seconds of scan, build and snapshot, and CPU seconds by stage."""
    from wavemill.pipeline.build import build_corpus
    from wavemill.pipeline.config import load_config
    from wavemill.pipeline.curation import Config
    from wavemill.pipeline.execution.ray_session import ray_session

    config = load_config(Config, overrides=[f"execution.workers={workers}"])
    with ray_session(config.execution):
        started = time.perf_counter()
        build_corpus([str(folder)], str(out), config, "benchmarks.curate")
        elapsed = time.perf_counter() - started
    return elapsed, stage_seconds(out)


def stage_seconds(out: Path) -> Counter[str]:
    """Add up what every table remembers of its making."""
    found: Counter[str] = Counter()
    for path in out.glob("stages/*/*/*.parquet"):
        text = (pq.read_metadata(path).metadata or {}).get(TASK_RESULT.encode())
        if text is not None:
            report = json.loads(text)
            found[report["stage"]] += report["cpu_seconds"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0, help="of audio (default: 20)")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "audio")
        folder.mkdir()
        audio = make_material(folder, options.minutes)
        # Half of the bare loop before and half after: a machine that gets slower harms both.
        loop, paths = BarePool(options.workers), sorted(folder.iterdir())
        loop.run(paths[::2])
        built, stages = measure_wavemill(folder, Path(scratch, "work"), options.workers)
        loop.run(paths[1::2])
        loop.close()
        bare, steps = loop.wall, loop.steps
    print(f"audio: {audio / 60:.1f} min, workers: {options.workers}")
    print(f"bare loop:       {bare:7.1f} s  ({audio / bare:.1f} x real time)")
    print(f"wavemill curate: {built:7.1f} s  ({audio / built:.1f} x real time)")
    print(f"ratio bare / wavemill: {bare / built:.3f}")
    busy = sum(steps.values()) / sum(stages.values())
    print(f"ratio of CPU time inside steps and stages: {busy:.3f}")
    _print_shares("bare loop: CPU time by step", steps, bare * options.workers)
    _print_shares("wavemill: CPU time by stage", stages, built * options.workers)
    if options.json:
        figures = {"audio_s": audio, "bare_s": bare, "wavemill_s": built, "ratio": bare / built}
        options.json.write_text(
            json.dumps({**figures, "steps": steps, "stages": stages}), encoding="utf-8"
        )


def _print_shares(title: str, seconds: Counter[str], available: float) -> None:
    """Print each share of the workers' time; the rest is loading, waiting and overhead."""
    print(f"\n{title}, of {available:.0f} worker seconds")
    for name, value in seconds.most_common():
        print(f"  {name:14} {value:8.1f} s  {value / available:6.1%}")
    rest = available - sum(seconds.values())
    print(f"  {'(rest)':14} {rest:8.1f} s  {rest / available:6.1%}")


if __name__ == "__main__":
    main()
