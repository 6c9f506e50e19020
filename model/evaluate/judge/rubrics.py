"""What a judge is asked for each kind of benchmark, and how its replies are read."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from wavemill.model.evaluate.judge import replies
from wavemill.model.evaluate.judge.asking import JudgePrompt
from wavemill.model.evaluate.scoring import Answered, Mode

FILE = Path(__file__).with_name("rubrics.yaml")


class Rubric(BaseModel):
    """One kind of judgement; rubrics.yaml explains the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    task: str
    reply: Literal["verdict", "rating"]
    shows: tuple[Literal["question", "options", "references", "answer"], ...]
    published: str
    published_temperature: float = 0.0
    low: float = 0
    high: float = 1
    scale: float = 1

    def prompt(self, item: Answered, mode: Mode = "default") -> JudgePrompt:
        """Return what the judge is asked about one item."""
        texts = _file()
        if mode == "compat":
            form = texts["published_replies"][self.published]
        else:
            form = Template(texts["replies"][self.reply]).substitute(
                low=f"{self.low:g}", high=f"{self.high:g}"
            )
        shown = {name: getattr(item, name) for name in self.shows}
        data = json.dumps(shown, ensure_ascii=False, indent=1)
        system = texts["system"] if mode == "default" else ""
        temperature = self.published_temperature if mode == "compat" else 0.0
        return JudgePrompt(f"{self.task}\n\n{data}\n\n{form}", system, temperature)

    def read(self, reply: str, mode: Mode = "default") -> float | None:
        """Return 1 or 0, or points on the final scale; None for a reply that cannot be read."""
        if mode == "compat":
            return replies.PUBLISHED[self.published](reply)
        if self.reply == "verdict":
            return replies.verdict(reply)
        points = replies.points(reply, self.low, self.high)
        return None if points is None else points * self.scale


@lru_cache
def _file() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text("utf-8"))


@lru_cache
def rubrics() -> dict[str, Rubric]:
    """Return all rubrics by name."""
    return {name: Rubric(name=name, **fields) for name, fields in _file()["rubrics"].items()}
