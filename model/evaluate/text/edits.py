"""The smallest set of edits between two lists of tokens, counted by kind and shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wavemill.model.evaluate.scoring import missing

SHOWN = {"replace": "[{old}>{new}]", "delete": "{{-{old}-}}", "insert": "{{+{new}+}}"}


@dataclass(frozen=True)
class Edits:
    """The edits that turn the reference into the hypothesis."""

    substitutions: int
    deletions: int
    insertions: int
    length: int
    """Tokens of the reference."""
    alignment: str
    """The reference with its edits: `the [cat>hat] {-on-} {+a+} mat`."""

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions


def edits(reference: Sequence[str], hypothesis: Sequence[str], joined_by: str = " ") -> Edits:
    """Align two lists of tokens. Raises EvaluationError if rapidfuzz is not installed."""
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError as error:
        raise missing("rapidfuzz", "counting word errors") from error
    counts = {"replace": 0, "delete": 0, "insert": 0}
    shown: list[str] = []
    for step in Levenshtein.opcodes(reference, hypothesis):
        old = joined_by.join(reference[step.src_start : step.src_end])
        new = joined_by.join(hypothesis[step.dest_start : step.dest_end])
        if step.tag == "equal":
            shown.append(old)
            continue
        counts[step.tag] += max(step.src_end - step.src_start, step.dest_end - step.dest_start)
        shown.append(SHOWN[step.tag].format(old=old, new=new))
    return Edits(
        counts["replace"],
        counts["delete"],
        counts["insert"],
        len(reference),
        joined_by.join(shown),
    )
