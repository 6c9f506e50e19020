"""The thresholds of the verdict, one set for each kind of input, made from the declared rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, create_model

from wavemill.stages.score import BY_ENGINE, COUNT, NUMBER, TEXT, Score, rules_of

_TYPES: dict[Any, Any] = {NUMBER: float, COUNT: int, TEXT: tuple[str, ...]}


class Thresholds(BaseModel):
    """A value equal to its threshold passes; None switches the rule off.

    "engine" is the threshold that the chosen engine declares, since the scale is the engine's own;
    where it declares none, the rule is off.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    def with_engine(self, declared: Mapping[str, float]) -> Self:
        """Return the thresholds with numbers in place of "engine".

        `declared` has the thresholds of the engines that are chosen, by setting. What is set to a
        number, or is off, stays.
        """
        found = {
            name: declared.get(name)
            for name in type(self).model_fields
            if getattr(self, name) == BY_ENGINE
        }
        return self.model_copy(update=found)


class AsrThresholds(Thresholds):
    """For segments that diarization cut and a transcriber wrote down."""


class LabelledThresholds(Thresholds):
    """For items of a manifest: someone chose and labelled them, so only broken ones go.

    Music, events and a digit of 0.3 s are fine, in any language; DNSMOS and SNR do not apply.
    """


def asr_thresholds(scores: Sequence[Score]) -> type[AsrThresholds]:
    """Return AsrThresholds with one field for each rule, in the order of the rules."""
    return create_model("AsrThresholds", __base__=AsrThresholds, **_fields(scores, "asr"))


def labelled_thresholds(scores: Sequence[Score]) -> type[LabelledThresholds]:
    """Return LabelledThresholds with one field for each rule, in the order of the rules."""
    fields = _fields(scores, "labelled")
    return create_model("LabelledThresholds", __base__=LabelledThresholds, **fields)


def _fields(scores: Sequence[Score], kind: Literal["asr", "labelled"]) -> dict[str, Any]:
    types = {score.column: _TYPES[score.kind] for score in scores}
    found: dict[str, Any] = {}
    for rule in rules_of(scores):
        default = getattr(rule, kind)
        given = types[rule.column]
        by_engine = BY_ENGINE in (rule.asr, rule.labelled)
        found[rule.setting] = (
            given | Literal["engine"] | None if by_engine else given | None,
            default,
        )
    return found
