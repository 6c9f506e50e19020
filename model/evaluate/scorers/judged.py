"""Answers scored by an LLM: question answering, open questions, and classes by meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wavemill.model.evaluate.judge.asking import Judge, JudgeReply
from wavemill.model.evaluate.judge.rubrics import Rubric
from wavemill.model.evaluate.metrics import mean
from wavemill.model.evaluate.scoring import Answered, ItemScore, Mode, Scores


@dataclass(frozen=True)
class JudgedScorer:
    """Accuracy (%), or the mean rating on the rubric's scale.

    If the judge fails or its reply cannot be read, the item is unscored and not in the mean. In
    mode `compat` replies are requested and read in the published form (judge/parsing_cases.json);
    the wording of the question is this project's in both modes.
    """

    judge: Judge
    rubric: Rubric
    mode: Mode = "default"

    @property
    def name(self) -> str:
        return self.rubric.name

    def score(self, answered: Sequence[Answered]) -> Scores:
        replies = self.judge.ask([self.rubric.prompt(item, self.mode) for item in answered])
        item_scores = tuple(self._item_score(i, r) for i, r in zip(answered, replies, strict=True))
        if self.rubric.reply == "verdict":
            return Scores((mean("accuracy", item_scores),), item_scores)
        return Scores((mean("score", item_scores, scale=1.0),), item_scores)

    def _item_score(self, item: Answered, reply: JudgeReply) -> ItemScore:
        if reply.text is None:
            return ItemScore(item.item_id, None, f"judge failed: {reply.error}")
        details = {"judge": self.judge.model, "reply": reply.text}
        value = self.rubric.read(reply.text, self.mode)
        note = "" if value is not None else "the judge's reply cannot be read"
        return ItemScore(item.item_id, value, note, details)
