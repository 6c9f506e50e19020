"""Normalisation of text for word error rates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavemill.stages.text import normalize


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ask not what your country can do!", "ask not what your country can do"),
        ("“Don’t” -- she said…", "don't she said"),
        ("a well-known dogs' home", "a well known dogs home"),
        ("In 1999,\n 5 of them.", "in 1999 5 of them"),
        ("Crème BRÛLÉE", "crème brûlée"),
        ("Cre\u0300me", "crème"),
        (" ... ", ""),
        ("", ""),
    ],
)
def test_normalize(text: str, expected: str) -> None:
    assert normalize(text) == expected


@given(st.text())
def test_normalizing_twice_changes_nothing(text: str) -> None:
    once = normalize(text)
    assert normalize(once) == once
    assert once == " ".join(once.split())
