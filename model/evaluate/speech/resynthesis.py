"""Speech said again from its own tokens, measured against the recording.

What listens (a rater of quality, a transcriber, an embedding of speakers) is handed in: this
package knows none of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wavemill.model.audio import vocoder_log_mel
from wavemill.model.detokenizer.config import VocoderConfig
from wavemill.model.evaluate.metrics import mean
from wavemill.model.evaluate.scoring import Better, Scores, Verdict

DECIBELS = 20 / math.log(10)  # of a natural logarithm of magnitude
AUDIBLE = math.log(1e-3)  # log-mel magnitude: softer bands are the floor of a recording


@dataclass(frozen=True)
class Remade:
    """A recording and what was made after it; float32 (samples,) both, at `sample_rate`."""

    item_id: str
    text: str
    original: Tensor
    made: Tensor
    sample_rate: int
    aligned: bool = True  # of equal length, and to be compared frame by frame


@dataclass(frozen=True)
class Measure:
    """A number for each item, None where it has none; `scale` is 100 for shares."""

    name: str
    of: Callable[[Remade], float | None]
    better: Better
    scale: float = 1.0


@dataclass(frozen=True)
class Take:
    """One thing to say again: a clip's id, text, tokens (n,) and audio (samples,)."""

    item_id: str
    text: str
    tokens: np.ndarray
    audio: Tensor


Speak = Callable[[Take], Tensor]  # audio float32 (samples,) at the vocoder's rate


def resynthesised(
    takes: Iterable[Take], speak: Speak, sample_rate: int, aligned: bool = True
) -> Iterator[Remade]:
    """Say each take again; where `aligned`, recording and speech are cut to the shorter one."""
    for take in takes:
        made = speak(take)
        if not aligned:
            yield Remade(take.item_id, take.text, take.audio, made.float(), sample_rate, aligned)
            continue
        length = min(len(made), len(take.audio))
        original = take.audio[:length]
        yield Remade(take.item_id, take.text, original, made[:length].float(), sample_rate)


def evaluate(remade: Sequence[Remade], measures: Sequence[Measure]) -> dict[str, Scores]:
    """Return each measure's verdicts and mean. One that fails on an item leaves it unscored."""
    return {m.name: _scores(remade, m) for m in measures}


def _scores(remade: Sequence[Remade], measure: Measure) -> Scores:
    verdicts = tuple(_verdict(one, measure) for one in remade)
    return Scores(
        (mean(measure.name, verdicts, better=measure.better, scale=measure.scale),), verdicts
    )


def _verdict(one: Remade, measure: Measure) -> Verdict:
    try:
        value = measure.of(one)
    except Exception as error:  # whatever an engine raises; the other items still count
        return Verdict(one.item_id, None, f"{measure.name} failed: {error}")
    if value is None or not math.isfinite(value):
        return Verdict(one.item_id, None, "unscored")
    return Verdict(one.item_id, value)


def mel_distance(config: VocoderConfig) -> Measure:
    """Return the mean absolute distance of log-mel frames in dB; 0 for the recording itself.

    Bands that are softer than AUDIBLE in both count as equal. What is not aligned has none.
    """

    def distance(one: Remade) -> float | None:
        if len(one.original) < config.n_fft or not one.aligned:
            return None
        mels = torch.stack((one.original, one.made))
        original, made = vocoder_log_mel(mels, config).clamp_min(AUDIBLE)
        return DECIBELS * float((original - made).abs().mean())

    return Measure("mel_distance_db", distance, "lower")


def heard_right(
    hear: Callable[[np.ndarray, int], str | None], name: str = "heard_right"
) -> Measure:
    """Return the share of items in which `hear(audio, rate)` hears exactly the text, in percent."""

    def right(one: Remade) -> float:
        heard = hear(one.made.numpy(), one.sample_rate) if len(one.made) else None
        return float(heard is not None and heard.strip().lower() == one.text.strip().lower())

    return Measure(name, right, "higher", 100.0)


def rated(
    name: str, rate: Callable[[np.ndarray, int], float | None], better: Better = "higher"
) -> Measure:
    """Return a rating of what was made, `rate(audio, rate)`: DNSMOS, for one."""
    return Measure(name, lambda one: rate(one.made.numpy(), one.sample_rate), better)


def speaker_similarity(embed: Callable[[np.ndarray, int], np.ndarray]) -> Measure:
    """Return the cosine of the embeddings of the recording and of what was made."""

    def cosine(one: Remade) -> float:
        first, second = (embed(x.numpy(), one.sample_rate) for x in (one.original, one.made))
        return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))

    return Measure("speaker_similarity", cosine, "higher")


def table(rows: Mapping[str, Mapping[str, Scores]]) -> str:
    """Return Markdown: a row per way of speaking, a column per measure, with 95 % intervals."""
    names = list(dict.fromkeys(name for scores in rows.values() for name in scores))
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for row, scores in rows.items():
        cells = [_cell(scores[name]) if name in scores else "" for name in names]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(scores: Scores) -> str:
    metric = scores.metrics[0]
    if not math.isfinite(metric.value):
        return f"unscored ({metric.unscored})"
    bounds = f" ({metric.low:.2f} to {metric.high:.2f})" if metric.low is not None else ""
    return f"{metric.value:.2f}{bounds}"
