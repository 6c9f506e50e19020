"""What is said of a corpus without held-out data."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.data.made import conversation_row, write
from wavemill.model.data.corpus import nothing_held_out
from wavemill.model.data.files import corpus_files
from wavemill.model.train.llm import LlmTraining
from wavemill.model.train.llm_data import HELD_OUT_FILES
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import SftRecipe

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}


@pytest.mark.parametrize(
    ("split", "there", "splits", "remedy"),
    [
        ("validation", {"train", "test", "dev"}, "dev, test, train", "--set f=test"),
        ("validation", {"dev", None}, "dev, rows without a split", "--set f=dev"),
        ("test", {"train"}, "train", "wavemill curate --set splits.test=0.05"),
        ("dev", set(), "none", "wavemill curate --set splits.validation=0.05"),
    ],
)
def test_the_remedy_fits_what_is_there(
    split: str, there: set[str | None], splits: str, remedy: str
) -> None:
    told = nothing_held_out("work", split, "f", there)
    assert f"work has no usable row in split {split!r} (splits there: {splits})" in told
    assert told.endswith(f"remedy: {remedy}")


def test_a_part_of_many_files_is_called_one(tmp_path: Path) -> None:
    place = write(tmp_path, "sft", [[conversation_row(i)] for i in range(2 * HELD_OUT_FILES)])
    recipe = SftRecipe.model_validate(
        {
            "network": {"llm": SMALL, "acoustic": {"d_model": 16, "encoder_ffn_dim": 32}},
            "tokens": 100,
        }
    )
    (note,) = LlmTraining(str(place), recipe, tmp_path / "run").data(Ranks()).notes
    assert f"({HELD_OUT_FILES} of {2 * HELD_OUT_FILES} files looked into) has no usable row" in note


def test_what_cannot_be_read_is_no_split(tmp_path: Path) -> None:
    rows = [[conversation_row(0, split="train")], [conversation_row(1, split="test")]]
    files = corpus_files(str(write(tmp_path, "sft", rows)), "sft").files
    Path(files[1].name).write_bytes(b"no Parquet")
    assert [file.values("split") for file in files] == [{"train"}, set()]
    assert files[0].values("no such column") == {None}
