"""A task too long for every recording stayed furthest behind, and so nothing else was learnt."""

from __future__ import annotations

from pathlib import Path

from tests.model.data.made import segment_row, sound, write
from tests.model.data.test_llm import V, batches
from wavemill.model.data.corpus import Corpus
from wavemill.model.data.documents import WEIGHTS, Task, Tasks
from wavemill.model.data.planning import PretrainPlanner
from wavemill.model.prompt.text import Utf8


def test_tasks_that_fit_take_the_turns_of_those_that_do_not(tmp_path: Path) -> None:
    data, codes = sound(1, 40)
    rows = [
        segment_row(r, i, audio={"bytes": data, "path": "x"}, semantic_tokens=codes)
        for r in range(6)
        for i in range(4)
    ]
    corpus = Corpus.open(str(write(tmp_path, "pretrain", [rows])), "pretrain")
    source = batches(PretrainPlanner(corpus, None, Utf8(), Tasks(V, 6, 80), WEIGHTS))
    seen = {task for _ in range(30) for task in next(source).tasks}
    assert seen == {Task.AUDIO, Task.ASR, Task.TTS, Task.TO_TEXT}
    assert source.problems() == {"too_long": 12}
