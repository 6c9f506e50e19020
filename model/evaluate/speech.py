"""Speech made again from tokens or texts, measured against the recording.

The caller passes the engines that listen (a rater of quality, a transcriber, an embedding of
speakers); this module imports none of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from wavemill.model.assistant import Assistant, read_aloud_settings
from wavemill.model.audio import vocoder_log_mel
from wavemill.model.detokenizer.config import VocoderConfig
from wavemill.model.evaluate.metrics import mean
from wavemill.model.evaluate.scoring import Better, ItemScore, Scores
from wavemill.model.generate.settings import GenerateSettings

DECIBELS = 20 / math.log(10)  # of a natural logarithm of magnitude
AUDIBLE = math.log(1e-3)  # log-mel magnitude: softer bands are the floor of a recording


@dataclass(frozen=True)
class Remade:
    """A recording and the speech made from it, both float32 (samples,) at `sample_rate`."""

    item_id: str
    text: str
    original: Tensor
    made: Tensor
    sample_rate: int
    aligned: bool = True  # of equal length, so that frames can be compared


@dataclass(frozen=True)
class Measure:
    """A function with one number per item, or None; `scale` is 100 for shares."""

    name: str
    of: Callable[[Remade], float | None]
    better: Better
    scale: float = 1.0


@dataclass(frozen=True)
class Take:
    """A clip to be spoken again: its id, text, tokens int32 (n,) and audio float32 (samples,)."""

    item_id: str
    text: str
    tokens: np.ndarray
    audio: Tensor


Speak = Callable[[Take], Tensor]  # audio float32 (samples,) at the vocoder's rate


def resynthesised(
    takes: Iterable[Take], speak: Speak, sample_rate: int, aligned: bool = True
) -> Iterator[Remade]:
    """Speak each take again; if `aligned`, recording and speech are cut to the shorter one."""
    for take in takes:
        made = speak(take)
        if not aligned:
            yield Remade(take.item_id, take.text, take.audio, made.float(), sample_rate, aligned)
            continue
        length = min(len(made), len(take.audio))
        original = take.audio[:length]
        yield Remade(take.item_id, take.text, original, made[:length].float(), sample_rate)


def evaluate(remade: Sequence[Remade], measures: Sequence[Measure]) -> dict[str, Scores]:
    """Return the item scores and the mean of each measure; if it fails, the item is unscored."""
    return {m.name: _scores(remade, m) for m in measures}


def _scores(remade: Sequence[Remade], measure: Measure) -> Scores:
    item_scores = tuple(_item_score(one, measure) for one in remade)
    return Scores(
        (mean(measure.name, item_scores, better=measure.better, scale=measure.scale),), item_scores
    )


def _item_score(one: Remade, measure: Measure) -> ItemScore:
    try:
        value = measure.of(one)
    except Exception as error:  # whatever an engine raises; the other items still count
        return ItemScore(one.item_id, None, f"{measure.name} failed: {error}")
    if value is None or not math.isfinite(value):
        return ItemScore(one.item_id, None, "unscored")
    return ItemScore(one.item_id, value)


def mel_distance(config: VocoderConfig) -> Measure:
    """Return the measure "mean absolute distance of log-mel frames" in dB.

    It is 0 for the recording itself. Bands that are softer than AUDIBLE in both count as equal.
    Speech that is not aligned has no value.
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
    """Return the measure "share of items of which `hear(audio, rate)` returns the text" (%)."""

    def right(one: Remade) -> float:
        heard = hear(one.made.numpy(), one.sample_rate) if len(one.made) else None
        return float(heard is not None and heard.strip().lower() == one.text.strip().lower())

    return Measure(name, right, "higher", 100.0)


def rated(
    name: str, rate: Callable[[np.ndarray, int], float | None], better: Better = "higher"
) -> Measure:
    """Return the measure `rate(audio, rate)` of the made speech, DNSMOS for example."""
    return Measure(name, lambda one: rate(one.made.numpy(), one.sample_rate), better)


def speaker_similarity(embed: Callable[[np.ndarray, int], np.ndarray]) -> Measure:
    """Return the measure "cosine of the embeddings of recording and made speech"."""

    def cosine(one: Remade) -> float:
        first, second = (embed(x.numpy(), one.sample_rate) for x in (one.original, one.made))
        return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))

    return Measure("speaker_similarity", cosine, "higher")


def table(rows: Mapping[str, Mapping[str, Scores]]) -> str:
    """Return a Markdown table: a row per name, a column per measure, with 95 % intervals."""
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


LONGEST = 2.0  # times the longest recording: a reading that does not end is cut there


def read_takes(
    assistant: Assistant, takes: Sequence[Take], settings: GenerateSettings
) -> Iterator[Take]:
    """Yield each take with the tokens, int32 (n,), with which an LLM reads its text aloud.

    It is the text-to-speech task of pre-training. The audio of a take stays that of the recording,
    and its tokens may be empty. Raises LayoutError for a take without text, and NoRoom for one
    that is too long.
    """
    limit = round(LONGEST * max((len(take.tokens) for take in takes), default=0)) + 1
    limited = read_aloud_settings(settings).model_copy(update={"max_new_tokens": limit})
    prompts = [assistant.text_prompt(take.text) for take in takes]
    seeded = [
        limited.model_copy(update={"seed": settings.seed + number}) for number in range(len(takes))
    ]
    for take, result in zip(takes, assistant.engine.replies(prompts, seeded), strict=True):
        yield replace(take, tokens=np.array(result.codes, np.int32))
