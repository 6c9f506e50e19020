"""Words that were heard against words that were to be said, however numbers are written."""

from __future__ import annotations

import pytest

from wavemill.stages.listen.words import normalised, word_errors

pytest.importorskip("num2words")


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("at seven thirty tonight", "at 7:30 tonight."),
        ("at seven thirty tonight", "at 730 tonight"),
        ("eight thousand eight hundred forty nine meters", "8,849m"),
        ("in nineteen eighty seven", "in 1987"),
        ("the twenty first", "the 21st"),
        ("five point two", "5.2"),
        ("one million two hundred thousand", "1,200,000"),
        ("five dollars and fifty cents", "$5.50"),
        ("May seventeenth, twenty twenty four", "May 17th, 2024"),
        ("name three colours", "Name 3 colors"),
        ("she sells sea shells", "She sells seashells"),
        ("a seashell", "a sea shell"),
    ],
)
def test_the_same(said: str, heard: str) -> None:
    assert word_errors(normalised(said), normalised(heard)) == 0


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("three plus five", "three plus nine", 1),
        ("twenty five", "25 26", 1),
        ("the cat sat", "the sat", 1),
        ("", "you", 1),
        ("yes", "", 1),
    ],
)
def test_errors_are_counted(said: str, heard: str, errors: int) -> None:
    assert word_errors(normalised(said), normalised(heard)) == errors
