"""Speech recognition: word or character error rate over a corpus."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from wavemill.model.evaluate.metrics import ratio
from wavemill.model.evaluate.scoring import Answered, ItemScore, Metric, Mode, Scores
from wavemill.model.evaluate.text.edits import Edits, edits
from wavemill.model.evaluate.text.published import tokens
from wavemill.model.evaluate.text.words import BY_CHARACTER, rate_name, words

SKIPPED = "null"
"""The answer that the published toolkit writes for audio it did not send."""

INTEGER = re.compile(r"-?[0-9]+")


@dataclass(frozen=True)
class AsrScorer:
    """Errors per reference token, summed over the corpus, not averaged over utterances.

    Mode `compat` repeats the published toolkit (asr/wer_cases.json, asr/corpus_wer.json); mode
    `default` compares as docs/evaluation.md says. Only the first reference is used. An item with
    an empty reference has no rate, but its answer counts as insertions.
    """

    mode: Mode = "default"
    whole_files: bool = True
    """In mode `compat`, also do what the toolkit does to a file of answers before it scores: leave
    out `null`, and drop leading zeros in a column that holds only digits."""
    name: str = "asr"

    def score(self, answered: Sequence[Answered]) -> Scores:
        """Return the error rate, its parts by kind, and the share of utterances with errors (%)."""
        if self.mode == "compat" and self.whole_files:
            answered = _as_integers(answered)
        found = [self.compare(item) for item in answered]
        item_scores = tuple(_item_score(item, e) for item, e in zip(answered, found, strict=True))
        return Scores(self._metrics(answered, found), item_scores)

    def compare(self, item: Answered) -> Edits | None:
        """Return the edits of one item; None if the published toolkit leaves it out."""
        reference = item.references[0] if item.references else ""
        if self.mode == "compat":
            if self.whole_files and item.answer == SKIPPED:
                return None
            cut = tokens
        else:
            cut = words
        return edits(
            cut(reference, item.language),
            cut(item.answer, item.language),
            "" if item.language in BY_CHARACTER else " ",
        )

    def _metrics(
        self, answered: Sequence[Answered], found: Sequence[Edits | None]
    ) -> tuple[Metric, ...]:
        scored = [e for e in found if e is not None]
        unscored = len(found) - len(scored)
        lengths = [float(e.length) for e in scored]
        names = {rate_name(item.language) for item in answered}
        name = names.pop() if self.mode == "default" and len(names) == 1 else "wer"
        parts = {
            name: [e.errors for e in scored],
            "substitutions": [e.substitutions for e in scored],
            "deletions": [e.deletions for e in scored],
            "insertions": [e.insertions for e in scored],
        }
        rates = [
            ratio(part, errors, lengths, better="lower", unscored=unscored)
            for part, errors in parts.items()
        ]
        wrong = [float(e.errors > 0) for e in scored]
        sentences = ratio(
            "sentence_errors", wrong, [1.0] * len(wrong), better="lower", unscored=unscored
        )
        return (*rates, sentences)


def _item_score(item: Answered, found: Edits | None) -> ItemScore:
    if found is None:
        return ItemScore(item.item_id, None, "no answer")
    details = {
        "substitutions": found.substitutions,
        "deletions": found.deletions,
        "insertions": found.insertions,
        "length": found.length,
        "alignment": found.alignment,
    }
    if not found.length:
        return ItemScore(item.item_id, None, "empty reference", details)
    return ItemScore(item.item_id, found.errors / found.length, "", details)


def worst(item_scores: Sequence[ItemScore], count: int = 20) -> list[ItemScore]:
    """Return the utterances with most errors, worst first; `alignment` shows the errors."""

    def errors(item_score: ItemScore) -> int:
        kinds = ("substitutions", "deletions", "insertions")
        return sum(item_score.details.get(kind, 0) for kind in kinds)

    return sorted((v for v in item_scores if errors(v)), key=errors, reverse=True)[:count]


def _as_integers(answered: Sequence[Answered]) -> Sequence[Answered]:
    """Drop leading zeros if a whole column is digits, as pandas does when it reads the file."""
    if answered and all(INTEGER.fullmatch(item.answer) for item in answered):
        answered = [replace(item, answer=str(int(item.answer))) for item in answered]
    golds = [item.references[0] for item in answered if item.references]
    if golds and all(INTEGER.fullmatch(gold) for gold in golds):
        return [replace(i, references=tuple(str(int(r)) for r in i.references)) for i in answered]
    return answered
