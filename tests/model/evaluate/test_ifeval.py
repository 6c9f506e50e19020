"""The 25 instruction types, on responses of our own."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("langdetect", reason="the extra `evaluate` is not installed")
pytest.importorskip("nltk", reason="the extra `evaluate` is not installed")

from wavemill.model.evaluate.ifeval import text_analysis
from wavemill.model.evaluate.scorers.ifeval import INSTRUCTIONS, IfevalScorer, followed, relaxed
from wavemill.model.evaluate.scoring import Answered

AT_LEAST, LESS = "at least", "less than"
CASES: list[tuple[str, dict[str, Any], str, str]] = [  # id, arguments, followed, not followed
    ("keywords:existence", {"keywords": ["tea", "cup"]}, "A Cup of tea", "A cup"),
    (
        "keywords:frequency",
        {"keyword": "tea", "frequency": 2, "relation": AT_LEAST},
        "tea, tea",
        "tea",
    ),
    ("keywords:forbidden_words", {"forbidden_words": ["tea"]}, "a team", "some tea"),
    (
        "keywords:letter_frequency",
        {"letter": "z", "let_frequency": 2, "let_relation": LESS},
        "Zoo",
        "Zz",
    ),
    (
        "language:response_language",
        {"language": "es"},
        "Mañana vamos a comer en la casa de mi abuela.",
        "Tomorrow we are going to eat at my grandmother's house.",
    ),
    (
        "length_constraints:number_words",
        {"num_words": 3, "relation": LESS},
        "two words",
        "one two three",
    ),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb", "a\n\nb"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Then"},
        "First.\n\n'then, we go",
        "Then.\n\nNow we go",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 1}, "Hi [name]", "Hi name"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye\nP. S. so", "Bye\nPS so"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "* a"),
    ("detectable_format:constrained_response", {}, "My answer is maybe.", "Maybe."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 1}, "a *b*", "a * *"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Part", "num_sections": 2},
        "Part 1 a Part 2 b",
        "Part 1 a",
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
    ("detectable_format:title", {}, "<<A song>> la", "<A song> la"),
    ("combination:two_responses", {}, "yes****** no", "yes******yes"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Sing."}, "sing. La la", "La la"),
    ("startend:end_checker", {"end_phrase": "Bye!"}, 'So long. bye!"', "Bye! So long."),
    ("startend:quotation", {}, '"Yes"', "“Yes”"),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": AT_LEAST},
        "NASA and ESA",
        "NASA and Esa",
    ),
    (
        "change_case:english_capital",
        {},
        "WE ARE WALKING HOME THROUGH THE RAIN",
        "We are walking home through the rain",
    ),
    (
        "change_case:english_lowercase",
        {},
        "we are walking home through the rain",
        "wir gehen heute durch den regen nach hause",
    ),
    ("punctuation:no_comma", {}, "One; two", "One, two"),
]


@pytest.mark.parametrize(("instruction", "arguments", "good", "bad"), CASES)
def test_instructions(instruction: str, arguments: dict[str, Any], good: str, bad: str) -> None:
    for mode in ("default", "compat"):
        found = followed(good, instruction, arguments, mode)
        assert (found.strict, found.loose, found.note) == (True, True, "")
        assert followed(bad, instruction, arguments, mode).strict is False
    assert followed(" ", instruction, arguments).loose is False


def test_every_type_has_a_case_or_needs_punkt() -> None:
    tested = {case[0] for case in CASES}
    assert set(INSTRUCTIONS) - tested == {"length_constraints:number_sentences"}
    assert len(INSTRUCTIONS) == 25


def test_sentences_are_counted_with_punkt_and_never_guessed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = {"num_sentences": 2, "relation": AT_LEAST}
    if text_analysis.has_punkt():
        assert followed("One. Two.", "length_constraints:number_sentences", arguments).strict
        assert not followed("One", "length_constraints:number_sentences", arguments).strict
    monkeypatch.setattr(text_analysis, "has_punkt", lambda: False)
    found = followed("One. Two.", "length_constraints:number_sentences", arguments)
    assert (found.strict, found.loose) == (None, None)
    assert "nltk.downloader" in found.note
    capitals = {"capital_frequency": 1, "capital_relation": AT_LEAST}
    name = "change_case:capital_word_frequency"
    assert followed("NASA flies.", name, capitals).strict
    assert followed("They DON'T. It flies.", name, capitals).strict is None


def test_loose_allows_for_a_first_and_last_line_and_asterisks() -> None:
    assert followed('Sure:\n*"Yes"*\nBye', "startend:quotation", {}).loose
    assert not followed('Sure:\n*"Yes"*\nBye', "startend:quotation", {}).strict
    assert relaxed("a\n*b*\nc") == [
        *("a\n*b*\nc", "*b*\nc", "a\n*b*", "*b*"),
        *("a\nb\nc", "b\nc", "a\nb", "b"),
    ]


@pytest.mark.parametrize(
    ("instruction", "arguments"),
    [
        ("detectable_format:number_bullet_lists", {}),
        ("detectable_format:number_bullet_lists", {"num_bullets": 0}),
        ("detectable_format:number_bullet_lists", {"num_bullets": "2"}),
        ("length_constraints:number_words", {"num_words": 2, "relation": "exactly"}),
        ("keywords:letter_frequency", {"letter": "#", "let_frequency": 1, "let_relation": LESS}),
        ("keywords:existence", {"keywords": None}),
        ("language:response_language", {"language": "xx"}),
        ("made:up", {}),
    ],
)
def test_what_cannot_be_checked_is_unscored(instruction: str, arguments: dict[str, Any]) -> None:
    found = followed("* a\n* b", instruction, arguments)
    assert (found.strict, found.loose) == (None, None)
    assert found.note


def test_keywords_are_text_and_as_published_regular_expressions() -> None:
    arguments = {"keywords": ["a.c"]}
    assert not followed("abc", "keywords:existence", arguments).strict
    assert followed("abc", "keywords:existence", arguments, "compat").strict
    assert followed("(x", "keywords:existence", {"keywords": ["(x"]}).strict
    assert followed("(x", "keywords:existence", {"keywords": ["(x"]}, "compat").strict is None


def test_chinese_is_known() -> None:
    arguments = {"language": "zh"}
    assert followed("今天下雨了。", "language:response_language", arguments).strict
    assert (
        followed("今天下雨了。", "language:response_language", arguments, "compat").strict is None
    )


def item(answer: str, *asked: tuple[str, dict[str, Any]], question: str = "q") -> Answered:
    details = {"instruction_ids": [a[0] for a in asked], "kwargs": [a[1] for a in asked]}
    return Answered(answer, answer, question=question, details=details)


NO_COMMA, QUOTED = ("punctuation:no_comma", {}), ("startend:quotation", {})


def test_scores_are_of_prompts_and_of_instructions() -> None:
    items = [item("a, b", NO_COMMA, QUOTED), item('"a"', NO_COMMA, QUOTED), item("b", NO_COMMA)]
    scores = IfevalScorer().score(items)
    found = {metric.name: metric.value for metric in scores.metrics}
    assert found["strict-prompt"] == pytest.approx(200 / 3)
    assert found["strict-instruction"] == pytest.approx(60)
    assert found["final"] == pytest.approx((200 / 3 + 60) / 2)
    assert scores.item_scores[1].details["strict"] == [True, True]
    low, high = scores.metrics[0].low, scores.metrics[0].high
    assert low is not None
    assert high is not None
    assert low <= scores.metrics[0].value <= high


def test_unscored_instructions_are_left_out_but_a_failed_prompt_stays_failed() -> None:
    odd = ("made:up", {})
    scores = IfevalScorer().score([item("a", odd, NO_COMMA), item("a,", odd, NO_COMMA)])
    prompts, instructions = scores.metrics[1], scores.metrics[2]
    assert (prompts.value, prompts.count, prompts.unscored) == (0, 1, 1)
    assert (instructions.value, instructions.count, instructions.unscored) == (50, 2, 2)
    assert "made:up" in scores.item_scores[0].note
    empty = IfevalScorer().score([Answered("a", "b")]).item_scores[0]
    assert (empty.value, empty.note) == (None, "details.instruction_ids is missing")


def test_same_question_shares_the_last_answer_as_published() -> None:
    items = [item("a", NO_COMMA), item("a,", NO_COMMA)]
    assert IfevalScorer("compat").score(items).metrics[0].value == 0
    assert IfevalScorer().score(items).metrics[0].value == 50
