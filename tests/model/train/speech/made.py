"""A small corpus of made sounds, and a driver that takes a learner's steps without the loop."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import torch

from wavemill.model.data.clips import ClipBatch, SpeechClip, batch_of
from wavemill.model.data.corpus import Sound
from wavemill.model.data.source import Problems
from wavemill.model.train.learner import Learner, Progress

torch.set_num_threads(1)  # two threads only wait for each other at this size

RATE = 16_000
WORDS = ("one", "two", "three", "four")
VOCABULARY = 32


def made_audio(word: int, tokens: int, seed: int = 0) -> np.ndarray:
    """Return a chord that stands for a word: float32 (samples,) at RATE."""
    time = np.arange(tokens * RATE * 80 // 1000) / RATE
    noise = np.random.default_rng(seed).standard_normal(len(time))
    chord = sum(np.sin(2 * np.pi * (200 + 170 * word) * k * time) / k for k in (1, 2, 3))
    return (0.15 * chord + 0.005 * noise).astype(np.float32)


def made_clip(number: int, tokens: int | None = None) -> SpeechClip:
    word = number % len(WORDS)
    tokens = tokens or 4 + number % 3
    file = io.BytesIO()
    soundfile.write(file, made_audio(word, tokens, number), RATE, format="FLAC")
    codes = (np.arange(tokens) + 5 * word) % VOCABULARY
    sound = Sound(file.getvalue(), codes.astype(np.int32))
    return SpeechClip(f"clip{number}", WORDS[word], f"speaker{number % 2}", sound)


def made_batch(count: int = 4, rate: int = RATE, tokens: int | None = None) -> ClipBatch:
    batch = batch_of([made_clip(n, tokens) for n in range(count)], rate, Problems())
    assert batch is not None
    return batch


def write_corpus(
    folder: Path,
    clips: list[SpeechClip],
    files: int = 2,
    group: int = 4,
    others: Sequence[SpeechClip] = (),
) -> None:
    """Write clips as `pretrain` of a WORKDIR; `others` among them are for validation."""
    place = folder / "corpus" / "pretrain"
    place.mkdir(parents=True)
    for file in range(files):
        rows = [
            {
                "recording_id": clip.id,
                "segment_id": clip.id,
                "split": "validation" if clip.id in {other.id for other in others} else "train",
                "language": "en",
                "speaker": clip.speaker,
                "text": clip.text,
                "text_tokens": [1],
                "semantic_tokens": clip.sound.codes.tolist(),
                "audio": {"bytes": clip.sound.data, "path": f"{clip.id}.flac"},
            }
            for clip in clips[file::files]
        ]
        told = {"semantic_vocab_size": str(VOCABULARY), "semantic_tokenizer": "made"}
        table = pa.Table.from_pylist(rows).replace_schema_metadata(told)
        pq.write_table(table, place / f"{file}.parquet", row_group_size=group)


def take_steps(
    learner: Learner[ClipBatch], batch: ClipBatch, count: int, rate: float = 3e-3
) -> list[dict[str, float]]:
    """Take `count` steps on one batch; return the losses of each, by optimizer."""
    optimizers = {
        name: torch.optim.AdamW(parameters, rate, (0.8, 0.99))
        for name, parameters in learner.optimized().items()
    }
    losses: list[dict[str, float]] = []
    for step in range(count):
        progress = Progress(step, step, count, learner.counts(batch))
        learner.prepare(progress)
        losses.append({})
        for name, optimizer in optimizers.items():
            if not learner.learns(name, progress):
                continue
            torch.manual_seed(step)
            loss = learner.loss(name, batch, progress)
            optimizer.zero_grad()
            total = loss.total / (1.0 if loss.weight is None else loss.weight)
            total.backward()
            optimizer.step()
            losses[-1][name] = float(total.detach())
        learner.after_step(progress)
    return losses
