"""A split of a corpus that `wavemill curate` made: labelled conversations as a benchmark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

from wavemill.model.data.files import corpus_files
from wavemill.model.data.source import DataError, Problems
from wavemill.model.evaluate.benchmarks.items import ABOUT, BenchmarkItem
from wavemill.model.evaluate.benchmarks.readers.layout import SourceError
from wavemill.model.evaluate.benchmarks.schema import Benchmark, Data, MetricSpec, ScorerChoice

COLUMNS = ["sample_id", "task", "language", "split", *ABOUT, "messages"]
LABELS = ("ser", "sec", "asc")  # tasks whose answer is a class of a closed set
CHAT = "chat"  # spoken questions: a closed set if each answer is right for several of them
FEWEST_OF_EACH = 4  # questions on average, for an answer of such a set
MAX_LABELS = 100  # with more different answers, it is not a closed set
ALL_SPLITS = "all"  # as --split: rows of every split, and without one
WER = MetricSpec(name="wer", unit="%", better="lower", meaning="word errors by reference words")
ACCURACY = MetricSpec(name="accuracy", unit="%", better="higher", meaning="share of right answers")


def benchmark_of(source: str, split: str, task: str, name: str) -> Benchmark:
    """Return a benchmark of the rows of a split and a task. Raises SourceError."""
    languages: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    for row in _rows(source, split, task):
        languages[row["language"] or "en"] += 1
        answers[_said(row)] += 1
    closed = len(answers) <= MAX_LABELS and (
        task in LABELS or (task == CHAT and len(answers) * FEWEST_OF_EACH <= answers.total())
    )
    options = tuple(sorted(answers)) if closed else ()
    kind: Literal["asr", "classification", "reference_qa"] = "reference_qa"
    if task == "asr":
        kind = "asr"
    elif options:
        kind = "classification"
    return Benchmark(
        name=name,
        title=f"corpus of {source.rstrip('/').rpartition('/')[2]}",
        split=split,
        category="own corpus",
        task=kind,
        asks="transcript" if task == "asr" else "text",
        language=next(iter(languages)) if len(languages) == 1 else None,
        prompt="{question}",
        options=options,
        scorer=ScorerChoice(name=kind),
        metric=WER if task == "asr" else ACCURACY,
        aggregation="over all items",
        data=Data(
            source=source,
            access="yours",
            licence="as the rows of the corpus say",
            prepared_by="corpus",
            subset=f"{split}/{task}",
            items=sum(languages.values()),
            items_basis="counted",
        ),
    )


def read(source: str, split: str, task: str) -> Iterator[BenchmarkItem]:
    """Yield the conversations of a split and a task; the instruction is the question."""
    for row in _rows(source, split, task, sound=True):
        audio = next(m["audio"] for m in row["messages"] if m["kind"] == "audio")
        asked = next((m["text"] for m in row["messages"] if m["role"] == "user" and m["text"]), "")
        yield BenchmarkItem(
            row["sample_id"],
            audio["bytes"],
            question=asked,
            references=(_said(row),),
            language=row["language"] or "en",
            **{name: row[name] for name in ABOUT},
        )


def _said(row: dict[str, Any]) -> str:
    return next(m["text"] for m in reversed(row["messages"]) if m["role"] == "assistant")


def _rows(source: str, split: str, task: str, sound: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the rows of a split and a task. Raises SourceError if there are none or unreadable."""
    try:
        files = corpus_files(source, "sft")
    except DataError as error:
        raise SourceError(str(error)) from None
    seen: Counter[tuple[str, str]] = Counter()
    problems = Problems()
    for file in files.files:
        for _, row in file.rows(COLUMNS if sound else [*COLUMNS[:-1], *_PARTS], problems):
            if row["task"] == CHAT and len(row["messages"]) != 2:
                continue  # a reply to a conversation that went on is no answer to a question
            seen[(row["split"] or "none", row["task"])] += 1
            if split in (row["split"], ALL_SPLITS) and row["task"] == task:
                yield row
    if problems.messages:  # a benchmark that lacks items says something else
        raise SourceError(f"{files.place}: {problems.messages[0].removeprefix('skipped ')}")
    if not any(task == t and split in (s, ALL_SPLITS) for s, t in seen):
        there = ", ".join(f"{n} of {t} in {s}" for (s, t), n in sorted(seen.items())) or "no rows"
        raise SourceError(
            f"{files.place} has no rows of task {task!r} in split {split!r}; it has {there}. "
            "Splits come from manifests, or --set splits.test=0.1 of wavemill curate"
        )


# The messages without their audio.
_PARTS = [f"messages.list.element.{name}" for name in ("role", "kind", "text")]
