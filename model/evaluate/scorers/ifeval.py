"""IFEval: the share of checkable instructions that responses follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wavemill.model.evaluate.ifeval.instruction import Arguments, Unscored
from wavemill.model.evaluate.ifeval.shape import SHAPE
from wavemill.model.evaluate.ifeval.wording import WORDING
from wavemill.model.evaluate.metrics import PERCENT, interval_of
from wavemill.model.evaluate.scorers.reading import without_tags
from wavemill.model.evaluate.scoring import Answered, ItemScore, Metric, Mode, Scores

NAMES = ("strict-prompt", "strict-instruction", "loose-prompt", "loose-instruction")


@dataclass(frozen=True)
class IfevalScorer:
    """Strict and loose accuracy per prompt and per instruction (%), and `final`, their mean.

    `details` of an item has `instruction_ids`, a list, and `kwargs`, a list of as many objects.
    An instruction that cannot be checked is left out, and so is its prompt, unless another of its
    instructions is not followed. Mode `compat` uses the last answer for all items with the same
    question, as published. Source: ifeval/aggregate_scores.json.
    """

    mode: Mode = "default"
    name: str = "ifeval"

    def score(self, answered: Sequence[Answered]) -> Scores:
        last = {item.question: item.answer for item in answered if item.question is not None}
        found = []
        for item in answered:
            if self.mode == "compat":
                answer = last.get(item.question or "", item.answer)
            else:
                answer = without_tags(item.answer)
            found.append(self._check(item, answer))
        item_scores = tuple(_item_score(i, f) for i, f in zip(answered, found, strict=True))
        return Scores(_metrics(found), item_scores)

    def _check(self, item: Answered, answer: str) -> list[tuple[str, Followed]]:
        ids = item.details.get("instruction_ids") or []
        kwargs = item.details.get("kwargs") or [{}] * len(ids)
        if len(kwargs) != len(ids) or not all(isinstance(k, Mapping) for k in kwargs):
            note = "details.kwargs must be a list of as many objects as details.instruction_ids"
            return [(name, Followed(None, None, note)) for name in ids]
        return [
            (name, followed(answer, name, given, self.mode))
            for name, given in zip(ids, kwargs, strict=True)
        ]


def _all(marks: Sequence[bool | None]) -> bool | None:
    """Return whether all marks are True; None if that depends on unknown ones."""
    if False in marks:
        return False
    return None if None in marks or not marks else True


def _counts(found: Sequence[tuple[str, Followed]]) -> list[float]:
    """Return passed and total counts of an item for each of NAMES."""
    counts: list[float] = []
    for marks in ([f.strict for _, f in found], [f.loose for _, f in found]):
        whole = _all(marks)
        counts += [float(whole is True), float(whole is not None)]
        counts += [float(marks.count(True)), float(len(marks) - marks.count(None))]
    return counts


def _item_score(item: Answered, found: Sequence[tuple[str, Followed]]) -> ItemScore:
    counts = _counts(found)
    parts = [over / under for over, under in zip(counts[::2], counts[1::2], strict=True) if under]
    notes = sorted({f.note for _, f in found if f.note})
    details = {
        "instructions": [name for name, _ in found],
        "strict": [f.strict for _, f in found],
        "loose": [f.loose for _, f in found],
    }
    if not found:
        notes = ["details.instruction_ids is missing"]
    value = sum(parts) / len(parts) if parts else None
    return ItemScore(item.item_id, value, "; ".join(notes), details)


def _rates(sums: np.ndarray) -> np.ndarray:
    """Return rates (draws, 4) of sums (draws, 8)."""
    return sums[..., ::2] / sums[..., 1::2]


def _metrics(found: Sequence[Sequence[tuple[str, Followed]]]) -> tuple[Metric, ...]:
    table = np.array([_counts(item) for item in found]).reshape(len(found), 8)
    with np.errstate(invalid="ignore"):
        rates = _rates(table.sum(axis=0))
    bounds = [interval_of(table, lambda s: _rates(s).mean(axis=1))]
    bounds += [interval_of(table, lambda s, k=k: _rates(s)[:, k]) for k in range(4)]  # type: ignore[misc]
    values = [rates.mean(), *rates]
    counted = [int(table[:, 1].sum()), *map(int, table[:, 1::2].sum(axis=0))]
    wholes = [len(found), sum(map(len, found))]
    totals = [wholes[0], *wholes, *wholes]
    return tuple(
        Metric(
            name,
            PERCENT * float(value),
            PERCENT * bound[0] if bound else None,
            PERCENT * bound[1] if bound else None,
            count,
            total - count,
            "higher",
        )
        for name, value, bound, count, total in zip(
            ("final", *NAMES), values, bounds, counted, totals, strict=True
        )
    )


INSTRUCTIONS = {**WORDING, **SHAPE}


@dataclass(frozen=True)
class Followed:
    """The result of one instruction; None and a note if it cannot be checked."""

    strict: bool | None
    loose: bool | None
    note: str = ""


def relaxed(response: str) -> list[str]:
    """Return the eight texts of which one has to pass the loose check.

    They are the response, the response without its first line, its last line or both, and each of
    these without asterisks.
    """
    lines = response.split("\n")
    kept = [response, *("\n".join(p).strip() for p in (lines[1:], lines[:-1], lines[1:-1]))]
    return kept + [text.replace("*", "") for text in kept]


def followed(
    response: str, instruction_id: str, arguments: Mapping[str, Any], mode: Mode = "default"
) -> Followed:
    """Check one instruction; an empty response follows none. Arguments that are None are ignored.

    Source: ifeval/single_instruction_cases.json.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    checked = Arguments(given, mode)
    try:
        instruction = INSTRUCTIONS.get(instruction_id)
        if instruction is None:
            raise Unscored(f"instruction {instruction_id!r} is not known")
        if mode == "compat" and (odd := given.keys() - set(instruction.takes)):
            raise Unscored(f"arguments that the instruction does not take: {sorted(odd)}")
        check = instruction.check
        strict = check(response, checked) and bool(response.strip())
        loose = any(bool(text.strip()) and check(text, checked) for text in relaxed(response))
    except Unscored as reason:
        return Followed(None, None, str(reason))
    return Followed(strict, loose)
