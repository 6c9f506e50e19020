"""Ratings of the spoken answers of a run: `speech.json` beside the answers.

The caller passes the engines that transcribe, rate and compare voices. Metrics:

    heard_accuracy ...  score of the benchmark, given the transcript of the speech as the answer;
                        what was heard of each item is in `heard.parquet`
    speech_wer          errors of the transcript of the speech against the answer's text (%)
    speech_quality      predicted overall rating of listeners (DNSMOS), 1 to 5
    speaker_similarity  cosine of the answer's voice and the wanted voice
    first_chunk_s       seconds from the question to the first audio
    real_time_factor    seconds of work per second of audio; below 1 it is faster than listening
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from wavemill.model.evaluate.benchmarks.items import Items
from wavemill.model.evaluate.metrics import ratio
from wavemill.model.evaluate.runs.answers import Answers, Row
from wavemill.model.evaluate.runs.record import Record, RunError, now, write_json
from wavemill.model.evaluate.runs.score import StoredMetric, answered_items, stored_metric
from wavemill.model.evaluate.scorers.asr import AsrScorer
from wavemill.model.evaluate.scorers.choice import LabelScorer
from wavemill.model.evaluate.scoring import Answered, Better, Metric, Scorer
from wavemill.model.evaluate.sound import decoded
from wavemill.model.evaluate.text.words import words

SPEECH_FILE = "speech.json"
HEARD_FILE = "heard.parquet"
HEARD = pa.schema(
    [
        pa.field("item_id", pa.string(), False),
        pa.field("heard", pa.string()),  # what the transcriber wrote of the spoken answer
        pa.field("value", pa.float64()),  # its score as an answer; null: not scored
    ]
)
AT_ONCE = 16  # clips in memory

T = TypeVar("T")


@dataclass(frozen=True)
class Listener(Generic[T]):
    """Rates or transcribes clips, float32 (samples,) mono at `rate` Hz; None: no result."""

    name: str  # engine and weights
    rate: int
    listen: Callable[[Sequence[np.ndarray]], Sequence[T | None]]


@dataclass(frozen=True)
class Listeners:
    """The engines that rate speech; without one, its metric is left out."""

    transcriber: Listener[str] | None = None
    quality: Listener[float] | None = None
    voice: Listener[float] | None = None  # similarity to the voice wanted, -1 to 1


class SpeechScores(BaseModel):
    """The content of `speech.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metrics: tuple[StoredMetric, ...]
    spoken: int  # answers with sound
    silent: int  # answers without
    listeners: dict[str, str]
    scored: str


def score_speech(
    folder: Path,
    items: Items,
    listeners: Listeners,
    progress: Callable[[int, int], None] | None = None,
    record: Record | None = None,
    scorer: Scorer | None = None,
) -> SpeechScores:
    """Rate the spoken answers and store the ratings. Raises RunError if there are none.

    With the `record` of the run and a `scorer`, what was heard is scored as the answers are.
    """
    languages = {item.item_id: item.language for item in items.read(sound=False)}
    answers = [row for row in Answers(folder).rows() if row.answer is not None]
    spoken = [row for row in answers if row.speech_s]
    if not spoken:
        raise RunError(f"{folder}: no answer was spoken; --speaks makes a model speak")
    heard = _heard(folder, listeners, len(spoken), progress)
    metrics = []
    if record is not None and scorer is not None and heard.texts:
        answered, _, _ = answered_items(folder, record, items)
        metrics += _scored_as_heard(folder, answered, heard.texts, scorer)
    metrics += _transcripts(spoken, heard.texts, languages)
    metrics += _means("speech_quality", heard.qualities, "higher")
    metrics += _means("speaker_similarity", heard.similarities, "higher")
    metrics += _means("first_chunk_s", {r.item_id: r.first_chunk_s for r in spoken}, "lower")
    work, sound = [r.seconds or 0.0 for r in spoken], [r.speech_s or 0.0 for r in spoken]
    metrics.append(ratio("real_time_factor", work, sound, better="lower", scale=1.0))
    who = vars(listeners).items()
    scores = SpeechScores(
        metrics=tuple(stored_metric(metric) for metric in metrics),
        spoken=len(spoken),
        silent=len(answers) - len(spoken),
        listeners={role: one.name for role, one in who if one is not None},
        scored=now(),
    )
    write_json(folder / SPEECH_FILE, scores.model_dump(mode="json"))
    return scores


@dataclass(frozen=True)
class _Heard:
    """The results of the listeners by item."""

    texts: dict[str, str | None]
    qualities: dict[str, float | None]
    similarities: dict[str, float | None]


def _heard(
    folder: Path,
    listeners: Listeners,
    total: int,
    progress: Callable[[int, int], None] | None,
) -> _Heard:
    heard = _Heard({}, {}, {})
    waiting: list[Row] = []
    done = 0

    def listen() -> None:
        nonlocal done
        for listener, into in (
            (listeners.transcriber, heard.texts),
            (listeners.quality, heard.qualities),
            (listeners.voice, heard.similarities),
        ):
            if listener is not None and waiting:
                clips = [decoded(row.speech or b"", listener.rate) for row in waiting]
                said = listener.listen(clips)
                into.update(zip((row.item_id for row in waiting), said, strict=True))  # type: ignore[arg-type]
        done += len(waiting)
        waiting.clear()
        if progress is not None:
            progress(done, total)

    for row in Answers(folder).rows(speech=True):
        if row.answer is not None and row.speech_s:
            waiting.append(row)
        if len(waiting) == AT_ONCE:
            listen()
    listen()
    return heard


def _scored_as_heard(
    folder: Path, answered: Sequence[Answered], texts: dict[str, str | None], scorer: Scorer
) -> list[Metric]:
    """Return the scorer's metrics of what was heard, and store it; silence is heard as nothing."""
    said = [replace(item, answer=texts.get(item.item_id) or "") for item in answered]
    if isinstance(scorer, LabelScorer):
        # A transcriber writes "8" for "eight".
        said = [_in_words(item) for item in said]
    scores = scorer.score(said)
    values = {one.item_id: one.value for one in scores.item_scores}
    rows = [
        {"item_id": name, "heard": text, "value": values.get(name)} for name, text in texts.items()
    ]
    temporary = folder / f".{HEARD_FILE}.tmp"
    pq.write_table(pa.Table.from_pylist(rows, HEARD), temporary, compression="zstd")
    temporary.replace(folder / HEARD_FILE)
    return [replace(metric, name=f"heard_{metric.name}") for metric in scores.metrics]


def _in_words(item: Answered) -> Answered:
    """Return an item with all its texts in the words that are compared."""

    def plain(text: str) -> str:
        return " ".join(words(text, item.language))

    return replace(
        item,
        answer=plain(item.answer),
        references=tuple(map(plain, item.references)),
        options=tuple(map(plain, item.options)),
    )


def _transcripts(
    spoken: Sequence[Row], texts: dict[str, str | None], languages: dict[str, str]
) -> Sequence[Metric]:
    """Return the error rate of the transcripts against the text of the answers."""
    pairs = [
        Answered(
            row.item_id,
            texts[row.item_id] or "",
            (row.answer or "",),
            language=languages.get(row.item_id, "en"),
        )
        for row in spoken
        if row.item_id in texts and (row.answer or "").strip()
    ]
    if not pairs:
        return ()
    main = AsrScorer().score(pairs).metrics[0]
    return (replace(main, name=f"speech_{main.name}"),)


def _means(name: str, values: dict[str, float | None], better: Better) -> list[Metric]:
    given = [value for value in values.values() if value is not None]
    if not given:
        return []
    unscored = len(values) - len(given)
    ones = [1.0] * len(given)
    return [ratio(name, given, ones, better=better, scale=1.0, unscored=unscored)]


def read_speech(folder: Path) -> SpeechScores | None:
    """Return the stored ratings, or None if there are none; raises RunError."""
    path = folder / SPEECH_FILE
    try:
        return SpeechScores.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise RunError(f"cannot read {path}: {str(error).splitlines()[0]}") from None
