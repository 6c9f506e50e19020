"""What every scorer takes and returns: answered items in, verdicts and metrics out.

A scorer never fails because of one bad item: an item that cannot be scored gets a verdict without
a value and with a note, and is counted as `unscored` in the metrics. `EvaluationError` is for what
stops the whole evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Mode = Literal["default", "compat"]
"""`compat` repeats the published toolkit, defects included; see docs/evaluation.md."""

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Answered:
    """One item of a benchmark with what the model answered."""

    item_id: str
    answer: str
    """What the model wrote."""
    references: tuple[str, ...] = ()
    """Gold: texts, a letter, or a label."""
    question: str | None = None
    """What was asked, as text: the typed question, or the transcript of the spoken one."""
    options: tuple[str, ...] = ()
    """Of a multiple choice or closed set, in the order shown (the first is A)."""
    language: str = "en"
    """ISO 639 code (`yue` for Cantonese)."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What only some scorers need, e.g. IFEval's `instruction_ids` and `kwargs`."""
    speaker: str | None = None
    """Who speaks in the item's sound, where that is known."""


@dataclass(frozen=True)
class Verdict:
    """What one item got."""

    item_id: str
    value: float | None
    """The item's share of the first metric (1 or 0, a rating, errors per word); None: unscored."""
    note: str = ""
    """Why it is unscored or remarkable: "unread", "judge failed: ...", "needs punkt"."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON: edit counts, alignment, the letter read ..."""


@dataclass(frozen=True)
class Metric:
    """One number over all items, with its 95 % bootstrap interval where there is one."""

    name: str
    value: float
    """In the unit that is published: percent for rates and accuracies, points for ratings.

    NaN where nothing could be scored."""
    low: float | None
    high: float | None
    count: int
    """Items that the value rests on."""
    unscored: int
    better: Better


@dataclass(frozen=True)
class Scores:
    """All numbers of one benchmark and the verdicts they rest on; the first metric is the main."""

    metrics: tuple[Metric, ...]
    verdicts: tuple[Verdict, ...]


class Scorer(Protocol):
    """Turns answered items into scores."""

    @property
    def name(self) -> str:
        """What it is called in results."""
        ...

    def score(self, answered: Sequence[Answered]) -> Scores:
        """Return one verdict for each item, in order, and the metrics over them."""
        ...


class EvaluationError(Exception):
    """Names what is missing or wrong, and the remedy; for people, without a traceback."""


def missing(package: str, purpose: str) -> EvaluationError:
    """Return the error for a package of the extra `evaluate` that is not installed."""
    return EvaluationError(
        f"{purpose} needs the package {package}, which is not installed: "
        "pip install 'wavemill[evaluate]'"
    )
