"""The written instructions, and how one is chosen."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavemill.manifests.recording import Task
from wavemill.pipeline.corpora.instructions import (
    COUNTS,
    LANGUAGES,
    QUESTION,
    Language,
    instructions,
    problems_of,
)
from wavemill.pipeline.corpora.instructions.choice import choose_instruction, written_language

HAN = range(0x4E00, 0xA000)


@pytest.mark.parametrize("task", Task)
def test_every_task_has_its_number_of_instructions(task: Task) -> None:
    found = instructions(task)
    assert sum(map(len, found.values())) == (200 if task == Task.ASR else 30)
    assert len(found["en"]) == len(found["zh"])


@pytest.mark.parametrize("task", Task)
def test_each_is_in_its_language(task: Task) -> None:
    found = instructions(task)
    for text in found["en"]:
        assert not any(ord(c) in HAN for c in text), text
        assert text.replace(QUESTION, "")[0] in "“ABCDEFGHIJKLMNOPQRSTUVWXYZ", text
        assert text[-1] in ".?}”", text
    for text in found["zh"]:
        plain = text.replace(QUESTION, "")
        assert sum(ord(c) in HAN for c in plain) >= 5, text
        assert not any(c in ",.?!:;" for c in plain), text
        assert text[-1] in "。？}”", text


def test_no_instruction_serves_two_tasks() -> None:
    texts = Counter(t for task in Task for texts in instructions(task).values() for t in texts)
    assert [text for text, count in texts.items() if count > 1] == []


def broken(**changes: Any) -> Any:
    return {**{lang: list(texts) for lang, texts in instructions(Task.SER).items()}, **changes}


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (None, "a list for each of"),
        ({"en": []}, "a list for each of"),
        (broken(en=["One."]), "en has 1 instructions, not 15"),
        (broken(en=[True] * 15), "no texts"),
        (broken(en=["What mood?", "what mood?"]), "written twice"),
        (broken(en=["What  mood?"]), "stray white space"),
        (broken(en=[""]), "stray white space"),
        (broken(en=[f"What? {QUESTION}"]), "must hold {question} 0 times"),
    ],
)
def test_a_spoilt_file_is_told(found: Any, problem: str) -> None:
    assert any(problem in told for told in problems_of(Task.SER, found))
    assert COUNTS[Task.SER] == 30


@pytest.mark.parametrize(
    ("text", "stated", "expected"),
    [
        ("A dog barks.", None, "en"),
        ("A dog barks.", "zh", "en"),  # an English caption of a Mandarin recording
        ("狗在叫", None, "zh"),
        ("他说 hello", "en", "zh"),
        ("Bonjour", "fr", None),
        ("Grüße", None, None),
        ("Café society", "en-US", "en"),
        ("123", "zh-CN", "zh"),
        ("123", None, None),
        ("日本語です", "ja", None),
        ("日本語です", None, None),
    ],
)
def test_the_language_of_a_sample(text: str, stated: str | None, expected: str | None) -> None:
    assert written_language(text, stated) == expected


@given(
    st.sampled_from(Task),
    st.one_of(st.none(), st.text(min_size=1)),
    st.one_of(st.none(), st.sampled_from(LANGUAGES)),
    st.integers(),
    st.text(),
)
def test_an_instruction_is_one_of_those_written(
    task: Task, question: str | None, language: Language | None, seed: int, name: str
) -> None:
    if question is None and task == Task.AQA:
        question = "What?"
    chosen = choose_instruction(task, question, language, seed, name)
    texts = instructions(Task.AQA if question else task)
    wanted = [t for lang in LANGUAGES if language in (None, lang) for t in texts[lang]]
    assert chosen in [t.replace(QUESTION, question or "") for t in wanted]
    assert chosen == choose_instruction(task, question, language, seed, name)


@pytest.mark.parametrize("task", [Task.ASR, Task.AAC])
def test_every_instruction_is_chosen_about_equally_often(task: Task) -> None:
    chosen = Counter(choose_instruction(task, None, None, 0, str(n)) for n in range(6000))
    expected = 6000 / COUNTS[task]
    assert len(chosen) == COUNTS[task]
    assert max(chosen.values()) < expected + 5 * expected**0.5


def test_the_seed_changes_the_choice() -> None:
    first, second = (
        [choose_instruction(Task.ASR, None, "en", seed, str(n)) for n in range(20)]
        for seed in (0, 1)
    )
    assert first != second
