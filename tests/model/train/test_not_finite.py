"""The message of a loss that is no number named eight of a micro-batch's ids, wherever it was."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.model.train.test_loop import Line, Numbers, Series, settings
from wavemill.model.data.source import Prefetched
from wavemill.model.train.loop import Training
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.step import NotFinite


@dataclass
class Crowded(Series):
    def __next__(self) -> Numbers:
        one = super().__next__()
        return Numbers(tuple(f"{one.ids[0]}-{n}" for n in range(20)), one.x)


def test_all_ids_are_in_a_file_of_the_run(tmp_path: Path) -> None:
    source = Prefetched(Crowded(poisoned=7))
    with pytest.raises(NotFinite, match=r"item7-7 and 12 more, all of them in .*not-finite-0"):
        Training(Line(), source, settings(), 1000, tmp_path, Ranks())()
    told = json.loads((tmp_path / "not-finite-0.json").read_text(encoding="utf-8"))
    assert told == {"step": 3, "ids": [f"item7-{n}" for n in range(20)]}
