"""What the conformance tests of scoring share: the stored cases, and the table of results.

Cases stand in the folder `evaluation` of what WAVEMILL_CONFORMANCE names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pytest

from tests.model.conformance import FOLDER as ALL
from wavemill.model.evaluate.judge.asking import JudgePrompt, JudgeReply
from wavemill.model.evaluate.scoring import Answered, Scorer, Scores

FOLDER = ALL / "evaluation"

needs_cases = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no stored cases in {FOLDER}; set WAVEMILL_CONFORMANCE"
)


@dataclass
class Row:
    cases: int = 0
    passed: int = 0
    skipped: int = 0
    note: str = ""
    failures: list[str] = field(default_factory=list)


@dataclass
class Table:
    """Stored cases by file and part, and how many are reproduced."""

    rows: dict[str, Row] = field(default_factory=dict)

    def case(self, part: str, found: object, wanted: object, name: object = "") -> None:
        """Note one case."""
        row = self.rows.setdefault(part, Row())
        row.cases += 1
        if found == wanted:
            row.passed += 1
        else:
            row.failures.append(f"{name!r}: {found!r} instead of {wanted!r}")

    def skip(self, part: str, count: int, why: str) -> None:
        """Note cases that cannot be compared here."""
        row = self.rows.setdefault(part, Row())
        row.cases, row.skipped, row.note = row.cases + count, row.skipped + count, why

    def note(self, part: str, text: str) -> None:
        self.rows[part].note = text

    def passes(self, part: str, share: float = 1.0) -> None:
        """Assert that `share` of the compared cases passed."""
        row = self.rows[part]
        assert row.cases > 0
        assert row.passed >= share * (row.cases - row.skipped), "\n".join(row.failures[:20])

    def lines(self) -> list[str]:
        header = f"{'file':52} {'cases':>5} {'passed':>6} {'skipped':>7}  note"
        return [header] + [
            f"{part:52} {row.cases:5} {row.passed:6} {row.skipped:7}  {row.note}".rstrip()
            for part, row in self.rows.items()
        ]


TABLE = Table()


@lru_cache
def stored(name: str) -> Any:
    """Return the content of a file, e.g. `asr/wer_cases.json`."""
    return json.loads((FOLDER / name).read_text("utf-8"))


@dataclass(frozen=True)
class FixedJudge:
    """Gives fixed replies in order; None is a judge that failed."""

    replies: Sequence[str | None]
    model: str = "fixed"

    def ask(self, prompts: Sequence[JudgePrompt]) -> list[JudgeReply]:
        assert len(prompts) == len(self.replies)
        return [JudgeReply(text, "" if text is not None else "no answer") for text in self.replies]


def item(answer: str, reference: str = "", language: str = "en", **details: Any) -> Answered:
    """Return an item with one reference."""
    return Answered("id", answer, (reference,), "question", (), language, details)


def by_subset(scorer: Scorer, answered: Sequence[Answered]) -> dict[str, Scores]:
    """Return the scores of each `details["subset"]`, as one file of the toolkit gives them.

    Of multiple choice the toolkit leaves out a subset called "sentiment". Here a subset is a
    benchmark of its own.
    """
    groups: dict[str, list[Answered]] = {}
    for one in answered:
        groups.setdefault(one.details["subset"], []).append(one)
    return {name: scorer.score(one) for name, one in groups.items() if name != "sentiment"}
