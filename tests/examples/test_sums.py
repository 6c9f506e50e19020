from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples.sums.chats import ANSWER, NUMBERS, WORDINGS, answer_of, chats, main
from examples.sums.control import with_shuffled_answers
from examples.sums.run import HERE, LEARNT, UNHEARD, sounds_of, table
from tests.model.data.made import spoken_row, write
from wavemill.model.data.corpus import Corpus
from wavemill.model.evaluate.benchmarks.items import BenchmarkItem, write_items
from wavemill.model.evaluate.runs.answers import Answers, Row
from wavemill.model.evaluate.sound import encoded
from wavemill.model.train.recipe import PRESETS, SftRecipe, shipped
from wavemill.model.train.speech.recipe import DetokenizerRecipe
from wavemill.pipeline.recipes import recipe_of


@pytest.mark.parametrize(
    ("name", "model", "training"),
    [("learn.yaml", SftRecipe, "sft"), ("voice.yaml", DetokenizerRecipe, "detokenizer")],
)
def test_each_recipe_is_one(name: str, model: Any, training: str) -> None:
    presets = {preset: shipped(training, preset) for preset in PRESETS}
    recipe = recipe_of(model, presets, str(HERE / name), [])
    assert recipe != recipe_of(model, presets, "tiny", [])


def asked(rows: list[dict[str, Any]]) -> list[str]:
    return [row["messages"][0]["content"] for row in rows]


def test_answers_are_sums_and_no_question_comes_twice() -> None:
    rows = [*chats("train", 400), *chats("validation", 32), *chats("test", 108)]
    assert len(set(asked(rows))) == 540
    for row in rows:
        words = [w for w in row["messages"][0]["content"].lower().strip("?.").split() if w != ""]
        one, other = [word.strip(",") for word in words if word.strip(",") in NUMBERS]
        assert row["messages"][1]["content"] == ANSWER.format(answer_of(one, other))
    assert answer_of("three", "five") == "eight"


def test_what_is_asked_was_said_by_nobody_and_in_other_words() -> None:
    assert not set(WORDINGS["train"]) & set(WORDINGS["test"])
    assert not {part for voice in UNHEARD for part in [voice.split("+")[0]]} & set(LEARNT)


def test_the_chats_are_json_lines(tmp_path: Path) -> None:
    main([str(tmp_path / "chats.jsonl"), "--split", "test", "--count", "5"])
    lines = (tmp_path / "chats.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["split"] for line in lines] == ["test"] * 5


def test_the_control_keeps_questions_and_deals_out_answers(tmp_path: Path) -> None:
    rows = [spoken_row(n, f"n{n}", split="train") for n in range(20)]
    work = write(tmp_path / "work", "sft_spoken", [rows[:12], rows[12:]])
    out = with_shuffled_answers(work, tmp_path / "out")
    corpus = Corpus.open(str(out), "sft")
    found = list(corpus.conversations(0))
    assert corpus.codebook_size == 64
    answers = [one.messages[-1].text for one in found]
    assert Counter(answers) == Counter(f"n{n}" for n in range(20))
    assert answers != [f"n{n}" for n in range(20)]
    for one, row in zip(found, rows, strict=True):
        assert one.messages[0].sound is not None
        assert one.messages[0].sound.codes.tolist() == row["messages"][0]["semantic_tokens"]


def test_ten_answers_are_kept_and_shown(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from wavemill.model.evaluate.runs.speech import HEARD

    sound = encoded(np.full(12_000, 0.5, np.float32), 24_000)
    rows = [
        Row(f"q{n}", answer="The answer is six.", speech=sound, speech_s=0.5) for n in range(12)
    ]
    write_items(tmp_path / "items.parquet", [BenchmarkItem(r.item_id, question="") for r in rows])
    Answers(tmp_path).append(rows)
    heard = [{"item_id": r.item_id, "heard": "The answer is 6.", "value": 1.0} for r in rows]
    pq.write_table(pa.Table.from_pylist(heard, HEARD), tmp_path / "heard.parquet")
    shown = sounds_of(tmp_path, tmp_path / "sounds")
    assert len(list((tmp_path / "sounds").glob("*.wav"))) == len(shown) == 10
    assert (shown[0]["seconds"], shown[0]["peak"], shown[0]["rms_db"]) == (0.5, 0.5, -6.0)
    metric = {"value": 80.0, "low": 71.0, "high": 88.0, "count": 100}
    found = {"text": metric, "heard": metric, "control": metric, "sounds": shown}
    text = table(found, {"curate": (60.0, 120.0)})
    assert "| as text | 80.0 | 71-88 | 100 |" in text
    assert "| curate | 1.0 | 2.0 |" in text
