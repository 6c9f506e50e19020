"""Multiple choice and closed sets of classes, read by rules."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from wavemill.model.evaluate.metrics import mean, ratio
from wavemill.model.evaluate.scorers.reading import SPEAKERS, read_label, read_letter, same_label
from wavemill.model.evaluate.scoring import Answered, ItemScore, Metric, Mode, Scores

UNREAD = "unread"


@dataclass(frozen=True)
class ChoiceScorer:
    """Accuracy (%) over all items; an answer without a readable letter is `unread` and wrong.

    The first reference is the right letter, or the text of the right option if the item has
    options. Mode `compat` is the published `vb-mcq`: letters A to D, and a random letter for an
    unread answer (`seed`; the toolkit sets none). Source: mcq/extraction_cases.json and
    mcq/vb_mcq_end_to_end.json.
    """

    mode: Mode = "default"
    seed: int = 0
    name: str = "multiple_choice"

    def score(self, answered: Sequence[Answered]) -> Scores:
        lots = random.Random(self.seed)
        item_scores = [
            _published(item, lots) if self.mode == "compat" else _read(item) for item in answered
        ]
        return Scores((mean("accuracy", item_scores), _unread(item_scores)), tuple(item_scores))


@dataclass(frozen=True)
class LabelScorer:
    """Accuracy (%) of naming one class of `options` by its letter, its name or an inflected form.

    Unread answers are wrong. Synonyms of a class need the judge (rubric `closed_set`).
    """

    name: str = "closed_set"

    def score(self, answered: Sequence[Answered]) -> Scores:
        item_scores = []
        for item in answered:
            label = read_label(item.answer, item.options)
            right = label is not None and _is_gold(item, label)
            note = "" if label is not None else UNREAD
            item_scores.append(ItemScore(item.item_id, float(right), note, {"read": label}))
        return Scores((mean("accuracy", item_scores), _unread(item_scores)), tuple(item_scores))


def _unread(item_scores: Sequence[ItemScore]) -> Metric:
    marks = [float(item_score.note == UNREAD) for item_score in item_scores]
    return ratio("unread", marks, [1.0] * len(marks), better="lower")


def _published(item: Answered, lots: random.Random) -> ItemScore:
    letter = published_letter(item.answer)
    note = "" if letter else "by lot"
    drawn = letter or lots.choice(LETTERS.upper())
    gold = item.references[0] if item.references else ""
    return ItemScore(item.item_id, float(drawn == gold), note, {"read": drawn})


def _read(item: Answered) -> ItemScore:
    if item.options:
        label = read_label(item.answer, item.options)
        letter = None if label is None else _letter_of(item.options.index(label))
    else:
        letter = read_letter(item.answer, len(LETTERS))
    if letter is None:
        return ItemScore(item.item_id, 0.0, UNREAD, {"read": None})
    return ItemScore(item.item_id, float(letter in _gold_letters(item)), "", {"read": letter})


def _letter_of(place: int) -> str:
    return chr(ord("A") + place)


def _gold_letters(item: Answered) -> set[str]:
    """Return the right letters; a reference is a letter or the text of an option."""
    golds = {reference.strip() for reference in item.references}
    by_text = {
        _letter_of(i)
        for i, option in enumerate(item.options)
        if any(same_label(option, gold) for gold in golds)
    }
    return by_text or {gold.upper() for gold in golds}


def _is_gold(item: Answered, label: str) -> bool:
    if _letter_of(item.options.index(label)) in {r.strip().upper() for r in item.references}:
        return True
    return any(same_label(label, reference) for reference in item.references)


# The published toolkit's method `vb-mcq` (mcq/extraction_cases.json): it looks for phrases, case
# folded and anywhere, even inside words ("the correct answer is dog" is D).
LETTERS = "abcd"

PHRASES = (  # the first phrase that occurs wins, and the first letter it occurs with
    *("答案是{}", "答案是 {}", "答案是选项{}", "答案应该是{}", "答案应该是 {}", "答案就是选项{}"),
    *("答案是‘{}", "是{}：", "答案选{}", "{}是正确", "选项{}是最合适的"),
    *("{} is the best answer", "the answer is {}", "the correct answer is {}", "the answer is: {}"),
    *("would select {}", "would choose {}", "would select option {}", "would choose option {}"),
    *("would be {}", "would be option {}", "is {} (", "is '{}'", "as '{}'", "is: \n\n{})"),
    *("is **{}", "option **{}**", "**{})", "**{}.", "**{}:"),
    *(r"is \( \boxed{{{}}}", r"is \( \text{{{}}}", r"is \( \textbf{{{}}}"),
    *("({})", " {}.", " {},", " {}:", " {})", '"{}"'),
)


def published_letter(answer: str) -> str | None:
    """Return "A" to "D" as the published toolkit reads it, or None where no phrase occurs."""
    answer = answer.lower()
    if answer.startswith(SPEAKERS):
        answer = answer[3:].strip()
    for phrase in PHRASES:
        for letter in LETTERS:
            if phrase.format(letter) in answer:
                return letter.upper()
    if answer[:1] in tuple(LETTERS) and (len(answer) == 1 or answer[1] in ".,:)"):
        return answer[0].upper()
    return "A" if 'would be "a.' in answer else None
