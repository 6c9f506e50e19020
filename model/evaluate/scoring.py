"""What every scorer takes and returns: answered items in, item scores and metrics out.

A scorer never fails because of one bad item: an item that cannot be scored gets an
`ItemScore` without a value and with a note, and is counted as `unscored` in the metrics.
`EvaluationError` is for what stops the whole evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Mode = Literal["default", "compat"]
"""`compat` repeats the published toolkit with its defects; see docs/evaluation.md."""

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Answered:
    """One item of a benchmark with the model's answer."""

    item_id: str
    answer: str
    """What the model wrote."""
    references: tuple[str, ...] = ()
    """The right answers: texts, a letter, or a label."""
    question: str | None = None
    """The question as text: as typed, or the transcript of a spoken one."""
    options: tuple[str, ...] = ()
    """The options of a multiple choice or closed set, in the order shown (the first is A)."""
    language: str = "en"
    """ISO 639 code (`yue` for Cantonese)."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Fields that only some scorers need, e.g. IFEval's `instruction_ids` and `kwargs`."""
    speaker: str | None = None
    """The speaker of the item's audio, if known."""


@dataclass(frozen=True)
class ItemScore:
    """The score of one item."""

    item_id: str
    value: float | None
    """Its part of the first metric (1 or 0, a rating, errors per word); None: unscored."""
    note: str = ""
    """Why it is unscored or unusual: "unread", "judge failed: ...", "needs punkt"."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON values: edit counts, alignment, the letter read ..."""


@dataclass(frozen=True)
class Metric:
    """One number over all items, with its 95 % bootstrap interval if there is one."""

    name: str
    value: float
    """In the published unit: percent for rates and accuracies, points for ratings.

    NaN if nothing could be scored."""
    low: float | None
    high: float | None
    count: int
    """The number of items in the value."""
    unscored: int
    better: Better


@dataclass(frozen=True)
class Scores:
    """All metrics of one benchmark, the main one first, and the scores of the items."""

    metrics: tuple[Metric, ...]
    item_scores: tuple[ItemScore, ...]


class Scorer(Protocol):
    """Scores answered items; add one in scorers/ and name it in scorers/registry.py."""

    @property
    def name(self) -> str:
        """Its name in results."""
        ...

    def score(self, answered: Sequence[Answered]) -> Scores:
        """Return one `ItemScore` per item, in order, and the metrics over them."""
        ...


class EvaluationError(Exception):
    """Stops an evaluation; the message names the problem and the remedy."""


def missing(package: str, purpose: str) -> EvaluationError:
    """Return the error for a package of the extra `evaluate` that is not installed."""
    return EvaluationError(
        f"{purpose} needs the package {package}, which is not installed: "
        "pip install 'wavemill[evaluate]'"
    )
