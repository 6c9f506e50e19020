"""The rules of the filter: which value of a segment is held against which threshold.

A rule sees whole columns, so that moving a threshold over a million segments takes seconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from wavemill.stages.filter.thresholds import Thresholds


@dataclass(frozen=True, slots=True)
class Rule(ABC):
    """One named condition that a segment must meet. A null value meets every condition."""

    name: str  # stable, snake_case: it stands in tables and reports
    column: str  # of the scores
    setting: str  # field of Thresholds; None there switches the rule off

    def threshold(self, thresholds: Thresholds) -> float | tuple[str, ...] | None:
        value: float | tuple[str, ...] | None = getattr(thresholds, self.setting)
        return value

    def broken(self, scores: pa.Table, thresholds: Thresholds) -> pa.Array:
        """Return a bool array (rows,) without nulls: which rows break the rule."""
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

    def _breaks(self, column: pa.Array, threshold: float | tuple[str, ...]) -> pa.Array:
        return pc.less(column, threshold)


class AtMost(Rule):
    """The value must not be above the threshold."""

    __slots__ = ()

    def _breaks(self, column: pa.Array, threshold: float | tuple[str, ...]) -> pa.Array:
        return pc.greater(column, threshold)


class OneOf(Rule):
    """The value, a text, must be one of the threshold's."""

    __slots__ = ()

    def _breaks(self, column: pa.Array, threshold: float | tuple[str, ...]) -> pa.Array:
        known = pc.is_in(column, value_set=pa.array(threshold, pa.string()))
        return pc.and_kleene(pc.is_valid(column), pc.invert(known))


# In the order in which broken rules are recorded. Accounting names a segment after the first, so
# what is wrong with the audio as such comes before what is wrong with its transcript.
RULES: tuple[Rule, ...] = (
    AtMost("missing_audio", "missing_ratio", "max_missing_ratio"),
    AtLeast("silent", "peak_dbfs", "min_peak_dbfs"),
    AtLeast("too_short", "duration_s", "min_duration_s"),
    AtMost("too_long", "duration_s", "max_duration_s"),
    AtLeast("low_speech_ratio", "speech_ratio", "min_speech_ratio"),
    AtMost("overlapped_speech", "overlap_ratio", "max_overlap_ratio"),
    AtMost("clipping", "clipping_ratio", "max_clipping_ratio"),
    AtLeast("low_snr", "snr_db", "min_snr_db"),
    AtLeast("low_dnsmos_overall", "dnsmos_overall", "min_dnsmos_overall"),
    AtLeast("low_dnsmos_signal", "dnsmos_signal", "min_dnsmos_signal"),
    AtLeast("low_dnsmos_background", "dnsmos_background", "min_dnsmos_background"),
    OneOf("language_not_allowed", "language", "allowed_languages"),
    AtLeast("low_language_probability", "language_probability", "min_language_probability"),
    AtLeast("empty_text", "text_length", "min_text_length"),
    AtMost("high_no_speech_probability", "no_speech_prob", "max_no_speech_probability"),
    AtLeast("low_asr_confidence", "asr_confidence", "min_asr_confidence"),
    AtMost("speech_too_fast", "words_per_second", "max_words_per_second"),
    AtLeast("speech_too_slow", "words_per_second", "min_words_per_second"),
    AtMost("repeated_ngrams", "repeated_ngram_ratio", "max_repeated_ngram_ratio"),
    AtMost("high_compression_ratio", "compression_ratio", "max_compression_ratio"),
)
