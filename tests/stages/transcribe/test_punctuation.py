"""The report's punctuation: marks at pauses, and at no other place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavemill.stages.transcribe.engine import Word
from wavemill.stages.transcribe.punctuation import COMMA, FULL_STOP, joined, mark_of_gap, punctuated

COMMA_GAP, STOP_GAP = 500, 1000  # report section 3.1
STRENGTH = {"": 0, COMMA: 1, FULL_STOP: 2}


def marked(words: list[Word]) -> tuple[Word, ...]:
    return punctuated(words, COMMA_GAP, STOP_GAP)


def mark(gap_ms: int) -> str:
    return mark_of_gap(gap_ms, COMMA_GAP, STOP_GAP)


@st.composite
def spoken(draw: st.DrawFn) -> list[Word]:
    """Characters and foreign words in time order; some overlap by a little."""
    words, now = [], 0
    for _ in range(draw(st.integers(0, 12))):
        start = now + draw(st.integers(-20, 1500) | st.sampled_from([500, 501, 999, 1000, 1001]))
        now = start + draw(st.integers(0, 300))
        words.append(Word(draw(st.sampled_from([*"你好世界", "ok", "x"])), start, now, 0.5))
    return words


@pytest.mark.parametrize(
    ("gap_ms", "expected"),
    [
        (-40, ""),
        (0, ""),
        (499, ""),
        (500, ""),  # "more than"
        (501, COMMA),
        (999, COMMA),
        (1000, FULL_STOP),  # left open by the report
        (1001, FULL_STOP),
        (60_000, FULL_STOP),
    ],
)
def test_the_report_s_thresholds(gap_ms: int, expected: str) -> None:
    assert mark(gap_ms) == expected


def test_a_sentence() -> None:
    times = [(0, 200), (250, 450), (1000, 1200), (1210, 1400), (2400, 2600)]
    words = [Word(c, *t, 0.9) for c, t in zip("你好世界吗", times, strict=True)]
    found = marked(words)
    assert joined(found) == "你好，世界。吗。"
    assert [(w.word, w.start_ms, w.end_ms) for w in found][1] == ("好，", 250, 450)


def test_nothing_was_said() -> None:
    assert marked([]) == ()
    assert joined(()) == ""


@given(spoken())
def test_without_the_marks_it_is_what_was_given(words: list[Word]) -> None:
    found = marked(words)
    assert [w.word.rstrip(COMMA + FULL_STOP) for w in found] == [w.word for w in words]
    assert [(w.start_ms, w.end_ms) for w in found] == [(w.start_ms, w.end_ms) for w in words]
    bare = joined(found).replace(COMMA, "").replace(FULL_STOP, "").replace(" ", "")
    assert bare == "".join(w.word for w in words)


@given(spoken())
def test_each_pause_has_its_mark_and_the_end_a_full_stop(words: list[Word]) -> None:
    found = marked(words)
    for before, after, one in zip(words, words[1:], found, strict=False):
        assert one.word == before.word + mark(after.start_ms - before.end_ms)
    if words:
        assert found[-1].word == words[-1].word + FULL_STOP


@given(st.integers(-100, 3000), st.integers(0, 3000))
def test_a_longer_pause_has_no_weaker_mark(gap_ms: int, more_ms: int) -> None:
    assert STRENGTH[mark(gap_ms + more_ms)] >= STRENGTH[mark(gap_ms)]


@given(spoken(), st.integers(-10_000, 10_000))
def test_only_differences_of_time_matter(words: list[Word], shift: int) -> None:
    moved = [Word(w.word, w.start_ms + shift, w.end_ms + shift, w.confidence) for w in words]
    assert joined(marked(moved)) == joined(marked(words))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["我", "说", "hello", "world", "了"], "我说hello world了"),
        (["ok，", "ok"], "ok，ok"),
        (["i'm", "here"], "i'm here"),
    ],
)
def test_latin_words_stand_apart(words: list[str], text: str) -> None:
    assert joined([Word(word, 0, 0, 1.0) for word in words]) == text
