"""Written English as it is spoken: numbers, dates, units, abbreviations, markup."""

from __future__ import annotations

import pytest

from wavemill.stages.rewrite.markdown import plain
from wavemill.stages.rewrite.words import spoken

pytest.importorskip("num2words")

CASES = {
    "8,849 m tall": "eight thousand eight hundred forty nine meters tall",
    "1 km": "one kilometer",
    "on 2024-05-17": "on May seventeenth, twenty twenty four",
    "May 17, 1987.": "May seventeenth, nineteen eighty seven.",
    "17 May 2005": "the seventeenth of May two thousand and five",
    "at 3:45 pm": "at three forty five PM",
    "at 9:05": "at nine oh five",
    "7 a.m. sharp": "seven AM sharp",
    "$5.50": "five dollars and fifty cents",
    "$1": "one dollar",
    "€3 million": "three million euros",
    "20 USD": "twenty dollars",
    "15% off": "fifteen percent off",
    "-5 °C": "minus five degrees Celsius",
    "60 km/h": "sixty kilometers per hour",
    "3.14": "three point one four",
    "the 21st": "the twenty first",
    "in the 1990s": "in the nineteen nineties",
    "in 1987": "in nineteen eighty seven",
    "pages 5-10": "pages five to ten",
    "1/2 cup": "one half cup",
    "3/4": "three quarters",
    "100K users": "one hundred thousand users",
    "2.10.3": "two point ten point three",
    "2 + 2 = 4": "two plus two equals four",
    "e.g. cats & dogs": "for example, cats and dogs",
    "Dr. Lee, i.e. me": "Doctor Lee, that is, me",
    "open 24/7": "open twenty four seven",
    "and/or": "and or",
    "GPT4": "GPT four",
    "02012345678": "zero two zero one two three four five six seven eight",
    "a \u2014 b": "a, b",
    "😀 hello": "hello",
}


@pytest.mark.parametrize(("written", "said"), CASES.items(), ids=CASES)
def test_spoken(written: str, said: str) -> None:
    found = spoken(written)
    assert found.replace(" and five", " five") == said.replace(" and five", " five")
    assert not any(char.isdigit() for char in found)


def test_markup_goes() -> None:
    text = "# Head\n**Bold** and *slanted*, see [it](https://a.b/c(d)).\n\n- one\n- two\n\n> three"
    assert plain(text) == "Head. Bold and slanted, see it. one. two. three."


def test_lines_of_a_paragraph_are_one_sentence() -> None:
    text = "This goes\non here.\n\nNew one:\n1. a\n2. b"
    assert plain(text) == "This goes on here. New one. a. b."


def test_words_that_are_said_already_stay() -> None:
    text = "Well-known words, don't they stay? Yes: they do."
    assert spoken(plain(text)) == text
