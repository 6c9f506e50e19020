from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from examples.digits.manifest import WORDS, lines_of, main, shuffled
from examples.digits.run import HERE, Result, results_in, table
from wavemill.model.train.recipe import PRESETS, PretrainRecipe, SftRecipe
from wavemill.model.train.recipe import shipped as shipped_recipe
from wavemill.model.train.speech.recipe import DetokenizerRecipe
from wavemill.pipeline.recipes import recipe_of

SPEAKERS = ("ann", "bo")


RECIPES: dict[str, tuple[Any, str]] = {
    "standard.yaml": (SftRecipe, "sft"),
    "speakers.yaml": (SftRecipe, "sft"),
    "speak.yaml": (PretrainRecipe, "pretrain"),
    "voice.yaml": (DetokenizerRecipe, "detokenizer"),
}


def test_each_recipe_is_one() -> None:
    assert {path.name for path in HERE.glob("*.yaml")} == RECIPES.keys()
    for name, (model, training) in RECIPES.items():
        shipped = {preset: shipped_recipe(training, preset) for preset in PRESETS}
        recipe = recipe_of(model, shipped, str(HERE / name), [])
        assert recipe != recipe_of(model, shipped, "tiny", [])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for digit in range(10):
        for speaker in SPEAKERS:
            for index in range(7):
                (tmp_path / f"{digit}_{speaker}_{index}.wav").touch()
    (tmp_path / "notes.wav").touch()
    return tmp_path


def test_the_first_five_of_each_digit_and_speaker_are_test(folder: Path) -> None:
    lines = lines_of(folder)
    assert len(lines) == 140
    for line in lines:
        digit, speaker, index = Path(line.audio).stem.split("_")
        assert (line.text, line.speaker) == (WORDS[int(digit)], speaker)
        assert line.split == ("test" if int(index) < 5 else "train")


def test_a_speaker_left_out_is_in_no_training_line(folder: Path) -> None:
    lines = lines_of(folder, hold_out=["bo"])
    assert {(line.speaker, line.split) for line in lines} == {("ann", "train"), ("bo", "test")}
    both = lines_of(folder, hold_out=["bo", "ann"])
    assert {line.split for line in both} == {"test"}
    with pytest.raises(ValueError, match="no recording is by 'cy'; speakers: ann, bo"):
        lines_of(folder, hold_out=["bo", "cy"])


@pytest.mark.parametrize(
    ("given", "splits"),
    [
        (["--hold-out", "bo", "--hold-out", "ann"], {"test"}),
        (["--split", "train"], {"train"}),
        (["--split", "test"], {"test"}),
    ],
)
def test_everything_can_be_of_one_split(
    folder: Path, tmp_path: Path, given: list[str], splits: set[str]
) -> None:
    main([str(folder), str(tmp_path / "m.jsonl"), *given])
    rows = [
        json.loads(row) for row in (tmp_path / "m.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert {row["split"] for row in rows} == splits


def test_shuffling_deals_out_training_labels_and_leaves_the_test(folder: Path) -> None:
    lines = lines_of(folder)
    dealt = shuffled(lines, 0)
    assert shuffled(lines, 0) == dealt
    assert Counter(line.text for line in dealt) == Counter(line.text for line in lines)
    changed = [one for one, other in zip(lines, dealt, strict=True) if one != other]
    assert {line.split for line in changed} == {"train"}
    assert len(changed) > 25  # of 40; by chance a tenth keep theirs


def test_the_manifest_is_json_lines_of_existing_files(folder: Path, tmp_path: Path) -> None:
    main([str(folder), str(tmp_path / "new" / "digits.jsonl"), "--hold-out", "ann"])
    rows = [
        json.loads(row)
        for row in (tmp_path / "new" / "digits.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert len(rows) == 140
    assert all(Path(row["audio"]).is_file() for row in rows)


@pytest.mark.parametrize("options", [[], ["--hold-out", "carl"]])
def test_what_is_not_there_is_an_error_that_says_so(
    folder: Path, tmp_path: Path, options: list[str]
) -> None:
    place = folder if options else tmp_path / "nowhere"
    with pytest.raises(SystemExit, match="carl.*ann, bo" if options else "has no files"):
        main([str(place), str(tmp_path / "out.jsonl"), *options])


def test_results_become_a_table_with_their_means(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    assert results_in(file) == {}
    rows = [("seed-0", 2.0), ("seed-1", 3.0), ("theo", 20.0)]
    results = {name: Result(name, rate, None, None, 200, 9.0, 4.0) for name, rate in rows}
    shown = table(results)
    assert "| seed-1 | 3.0 |" in shown
    assert "mean of the seeds: 2.5 % (2 trials)" in shown
    assert "left out: 20.0 % (1 trials)" in shown
