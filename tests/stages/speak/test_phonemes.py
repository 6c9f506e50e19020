"""Phonemes from a small lexicon: endings, words of grammar, spelling, unknown words."""

from __future__ import annotations

import pytest

from wavemill.stages.speak.letter_sounds import letter_sounds
from wavemill.stages.speak.phonemes import Lexicon, Phonemes

GOLD = {
    "cat": "kˈæt",
    "egg": "ˈɛɡ",
    "walk": "wˈɔk",
    "stop": "stˈɑp",
    "try": "tɹˈI",
    "start": "stˈɑɹt",
    "go": "ɡˈO",
    "that": {"DEFAULT": "ðæt", "None": "ðˈæt"},
    "box": "bˈɑks",
    "sun": "sˈʌn",
    "light": "lˈIt",
    **dict(zip("TCP", ("tˈi", "sˈi", "pˈi"), strict=True)),
}
SAY = Phonemes(Lexicon(GOLD, {"dog": "dˈɔɡ"}))


@pytest.mark.parametrize(
    ("text", "sounds"),
    [
        ("cats, dogs!", "kˈæts, dˈɔɡz!"),
        ("boxes", "bˈɑksᵻz"),
        ("walked stopped tried started", "wˈɔkt stˈɑpt tɹˈId stˈɑɹTᵻd"),
        ("walking stopping", "wˈɔkɪŋ stˈɑpɪŋ"),
        ("the cat the egg", "ðə kˈæt ði ˈɛɡ"),
        ("to go", "tə ɡˈO"),
        ("A cat", "ɐ kˈæt"),
        ("that cat", "ðæt kˈæt"),
        ("cat that.", "kˈæt ðˈæt."),
        ("TCP", "tˌisˌipˈi"),
        ("sunlight", "sˈʌnlˌIt"),
        ("cat's", "kˈæts"),
        ("7 ???", "???"),
    ],
)
def test_phonemes(text: str, sounds: str) -> None:
    assert SAY(text) == sounds


@pytest.mark.parametrize(
    ("word", "sounds"),
    [("flim", "flˈɪm"), ("snation", "snˈæʃən"), ("quoit", "kwˈYt"), ("knafe", "nˈAf")],
)
def test_letters_have_sounds(word: str, sounds: str) -> None:
    assert letter_sounds(word) == sounds
