"""A training that was killed in its last evaluation was complete, and never evaluated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.model.train.test_loop import STEPS, Line, Series, settings, train, weights
from wavemill.model.data.source import Prefetched
from wavemill.model.train.learner import Example
from wavemill.model.train.loop import Outcome, Training
from wavemill.model.train.metrics import FILE
from wavemill.model.train.ranks import Ranks


class Killed(BaseException):
    pass


class Mortal(Line):
    def examples(self, limit: int) -> Iterator[Example]:
        del limit
        raise Killed


@pytest.mark.parametrize("every", [5, STEPS])
def test_it_is_evaluated_when_the_command_is_repeated(every: int, tmp_path: Path) -> None:
    told = settings(checkpoint={"steps": every, "keep": 1})
    mortal = Training(Mortal(), Prefetched(Series()), told, STEPS * 20, tmp_path, Ranks(), {"a": 1})
    with pytest.raises(Killed):
        mortal()
    outcome, learner = train(tmp_path, checkpoint={"steps": every, "keep": 1})
    assert outcome == Outcome(STEPS, STEPS * 20, True, {})
    kinds = [
        json.loads(line)["kind"]
        for line in (tmp_path / FILE).read_text(encoding="utf-8").splitlines()
    ]
    assert kinds.count("example") == 1
    _, whole = train(tmp_path / "whole")
    assert all(torch.equal(t, weights(learner)[n]) for n, t in weights(whole).items())
