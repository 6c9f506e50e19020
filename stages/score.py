"""What a score is: a value that a stage stores of every segment, declared once.

The fields of the stage's table, the thresholds of the config, the rules, the columns of the views,
of the quality page and of the corpus all follow from the declaration.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc

from wavemill.stages.tables import field

NUMBER, COUNT, TEXT = pa.float64(), pa.int64(), pa.string()  # what a score may be
Threshold = float | tuple[str, ...] | None
BY_ENGINE: Literal["engine"] = "engine"  # a default: what the engine that is chosen declares


class Aspect(IntEnum):
    """What a score is about.

    Broken rules are recorded in this order. Accounting names a segment after the first, so what is
    wrong with the audio as such comes before what is wrong with its transcript.
    """

    PRESENCE = 0  # whether there is audio at all
    EXTENT = 1  # how the segment was cut, and who speaks in it
    SIGNAL = 2
    QUALITY = 3  # as people hear it
    LANGUAGE = 4
    SPEECH = 5  # whether anything was said
    RECOGNITION = 6  # how sure the transcriber is
    WORDING = 7


class Place(IntEnum):
    """Where people see a score; each place includes those before it."""

    VIEWS = 0  # of the quality database
    CARD = 1  # of a segment on the quality page
    CHART = 2  # of its distribution
    TABLE = 3  # of the dashboard, which sorts by it


@dataclass(frozen=True, slots=True)
class Rule(ABC):
    """One named condition that a segment must meet. A null value meets every condition.

    `asr` and `labelled` are the default thresholds for the two kinds of input; None switches the
    rule off. `column` and `setting` are filled in by the score that declares the rule.
    """

    side: ClassVar[str]  # min, max or one_of

    name: str  # stable, snake_case: it stands in tables and reports
    asr: Threshold | Literal["engine"] = None  # segments that diarization cut
    labelled: Threshold | Literal["engine"] = None  # items of a manifest
    setting: str = ""  # field of Thresholds; by default min_ or max_ and the column
    column: str = ""  # of the scores

    def threshold(self, thresholds: object) -> Threshold:
        """Return this rule's threshold. Raises ValueError while an engine still has to say it."""
        value: Threshold | str = getattr(thresholds, self.setting)
        if isinstance(value, str):
            raise ValueError(f"{self.setting} is the engine's: see Thresholds.with_engine")
        return value

    def broken(self, scores: pa.Table, thresholds: object) -> pa.Array:
        """Return a bool array (rows,) without nulls: which rows break the rule.

        A rule sees whole columns, so that moving a threshold over a million segments takes seconds.
        """
        threshold = self.threshold(thresholds)
        column = scores[self.column].combine_chunks()
        if threshold is None:
            return pa.array([False]).take(pa.array([0] * len(column), pa.int64()))
        return pc.fill_null(self._breaks(column, threshold), False)

    @abstractmethod
    def _breaks(self, column: pa.Array, threshold: float | tuple[str, ...]) -> pa.Array:
        """Return which values break the rule; null where the value is null."""


class AtLeast(Rule):
    """The value must not be below the threshold."""

    __slots__ = ()
    side = "min"

    def _breaks(self, column: pa.Array, threshold: float | tuple[str, ...]) -> pa.Array:
        return pc.less(column, threshold)


class AtMost(Rule):
    """The value must not be above the threshold."""

    __slots__ = ()
    side = "max"

    def _breaks(self, column: pa.Array, threshold: float | tuple[str, ...]) -> pa.Array:
        return pc.greater(column, threshold)


class OneOf(Rule):
    """The value, a text, must be one of the threshold's."""

    __slots__ = ()
    side = "one_of"

    def _breaks(self, column: pa.Array, threshold: float | tuple[str, ...]) -> pa.Array:
        known = pc.is_in(column, value_set=pa.array(threshold, pa.string()))
        return pc.and_kleene(pc.is_valid(column), pc.invert(known))


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One column: its meaning, its rules, and where it is shown."""

    column: str
    title: str  # as people call it
    short: str = ""  # the same where there is little room
    description: str  # for `wavemill schema`
    aspect: Aspect
    unit: str = ""
    scale: str = ""  # what values without a unit lie between, as people read it: 0 to 1
    digits: int = 2  # after the point, where a person reads it
    better: Literal["higher", "lower"] | None = None  # None: neither, or it depends
    kind: pa.DataType = NUMBER
    nullable: bool = True
    rules: tuple[Rule, ...] = ()
    place: Place = Place.CHART
    corpus_place: int | None = None  # among the quality columns of `pretrain`; None: not in it

    @property
    def name(self) -> str:
        """The title where there is little room."""
        return self.short or self.title

    @property
    def field(self) -> pa.Field:
        """The field of the stage's table."""
        return field(self.column, self.kind, self.description, self.nullable)

    @property
    def sql(self) -> str:
        """The value in SQL over a relation that has the stored columns."""
        return self.column

    def bound(self) -> tuple[Rule, ...]:
        """Return the rules with `column` and `setting` filled in."""
        return tuple(
            replace(rule, column=self.column, setting=rule.setting or f"{rule.side}_{self.column}")
            for rule in self.rules
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived(Score, ABC):
    """A score that no table holds: it is computed from two stored columns where it is needed.

    So a rule can hold one column against another. Null where either is null.
    """

    left: str
    right: str

    @abstractmethod
    def values(self, scores: pa.Table) -> pa.Array:
        """Return the values, float64 (rows,), of a table with both columns."""

    def _operands(self, scores: pa.Table) -> tuple[pa.Array, pa.Array]:
        left, right = (
            scores[name].combine_chunks().cast(pa.float64()) for name in (self.left, self.right)
        )
        return left, right


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(Derived):
    """`left` less `right`: at least 0 says that left is not below right."""

    def values(self, scores: pa.Table) -> pa.Array:
        return pc.subtract(*self._operands(scores))

    @property
    def sql(self) -> str:
        return f"({self.left}::double - {self.right}::double)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotient(Derived):
    """`left` by `right`; null where right is 0."""

    def values(self, scores: pa.Table) -> pa.Array:
        left, right = self._operands(scores)
        divisor = pc.if_else(pc.equal(right, 0.0), pa.scalar(None, pa.float64()), right)
        return pc.divide(left, divisor)

    @property
    def sql(self) -> str:
        return f"({self.left}::double / nullif({self.right}::double, 0))"


def stored(scores: Iterable[Score]) -> tuple[Score, ...]:
    """Return the scores that a stage's table holds."""
    return tuple(score for score in scores if not isinstance(score, Derived))


def derived(scores: Iterable[Score]) -> tuple[Derived, ...]:
    """Return the scores that are computed from others."""
    return tuple(score for score in scores if isinstance(score, Derived))


def by_aspect(scores: Iterable[Score]) -> tuple[Score, ...]:
    """Return scores in the order in which people meet them: by aspect, then as declared."""
    return tuple(sorted(scores, key=lambda score: score.aspect))


def shown(scores: Iterable[Score], place: Place) -> tuple[Score, ...]:
    """Return the numbers that are shown at a place, in order."""
    return tuple(
        score for score in by_aspect(scores) if score.place >= place and score.kind != TEXT
    )


def rules_of(scores: Iterable[Score]) -> tuple[Rule, ...]:
    """Return all rules in the order in which broken ones are recorded.

    Raises ValueError for two rules of one name or one setting.
    """
    rules = [rule for score in by_aspect(scores) for rule in score.bound()]
    for what in ("name", "setting"):
        names = [getattr(rule, what) for rule in rules]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two rules have the {what} {twice[0]!r}")
    return tuple(rules)
