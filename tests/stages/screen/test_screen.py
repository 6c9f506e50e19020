"""Which conversations are not spoken, and by which rule."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import MemoryUpstream
from wavemill.manifests.conversations import conversation
from wavemill.manifests.recording import MessageOf
from wavemill.stages.screen.stage import Screen


def screened(question: str, answer: str = "Yes, it is.", **settings: Any) -> set[str]:
    """Return the rules that a conversation breaks."""
    language = settings.pop("language", None)
    messages = [(MessageOf.USER, question), (MessageOf.ASSISTANT, answer)]
    made = conversation(messages, "c:1", language)
    stage = Screen.build(Screen.Settings(**settings))
    (found,) = stage(made, MemoryUpstream(made.recording_id, {}))
    (row,) = found.to_pylist()
    assert row["kept"] is not bool(row["broken"])
    return {rule["rule"] for rule in row["broken"]}


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("Is the sky blue today?", set()),
        ("That costs $5 and $6, or 5-10 in all; 24/7.", set()),
        ("Use the word `hello` in it.", set()),
        ("```\nx = 1\n```", {"contains_code"}),
        ("Write it:\ndef add(a, b):\n    return a + b", {"contains_code"}),
        ("What does `f(x) -> {y};` do?", {"contains_code"}),
        ("| a | b |\n|---|---|\n| 1 | 2 |", {"contains_table"}),
        (r"Solve $x^2 = 4$.", {"contains_formula"}),
        (r"What is \frac{1}{2}?", {"contains_formula"}),
        ("See https://a.example/b now.", {"contains_url"}),
        ("Write to me@a.example now.", {"contains_url"}),
        ("\n".join(f"- item {n}" for n in range(9)), {"list_too_long"}),
        ("\n".join(f"- item {n}" for n in range(8)), set()),
        ("Как дела, друг?", {"mixed_scripts"}),
        ("★★★★★ ok ★★★★★", {"too_many_symbols"}),
        ("word " * 400, {"message_too_long", "not_english"}),
        (
            "Wie heißt die Hauptstadt von Deutschland und wie viele Menschen wohnen dort?",
            {"not_english"},
        ),
    ],
)
def test_rules(text: str, rules: set[str]) -> None:
    assert screened(text) == rules


def test_a_stated_language_counts() -> None:
    assert screened("Is it so?", language="de") == {"language_not_supported"}
    assert screened("Wie geht es dir?", language="de", supported_languages=("de",)) == set()


def test_thresholds_move() -> None:
    text = "See https://a.example/b now."
    assert screened(text, max_urls=1) == set()
    assert screened(text, max_urls=None) == set()
