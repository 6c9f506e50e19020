"""Written instructions of the sft corpus: how a person asks for what a task answers.

One file per task beside this one: 200 instructions for speech recognition and 30 for each other
task (report section 4.2), half of them English and half Mandarin. Every one was written by hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from wavemill.manifests.recording import Task
from wavemill.pipeline.digest import digest_of

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
COUNTS: Mapping[Task, int] = {task: 200 if task == Task.ASR else 30 for task in Task}
QUESTION = "{question}"  # stands for an item's question, once in every instruction of AQA

_FOLDER = Path(__file__).parent
SAFE_LOADER = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # a tenth of the time, where it was built
Instructions = Mapping[Language, tuple[str, ...]]


@cache
def instructions(task: Task) -> Instructions:
    """Return the instructions of a task by language, in the order of its file.

    Raises ValueError that names the file and what is wrong with it.
    """
    path = _FOLDER / f"{task}.yaml"
    found = yaml.load(path.read_text(encoding="utf-8"), Loader=SAFE_LOADER)
    if problems := problems_of(task, found):
        raise ValueError(f"{path}: {'; '.join(problems)}")
    return {language: tuple(found[language]) for language in LANGUAGES}


def instructions_digest() -> str:
    """Return the identity of all instructions: a part of what determines the corpus."""
    return digest_of({task: instructions(task) for task in Task})


def problems_of(task: Task, found: Any) -> list[str]:
    """Return what is wrong with the content of a task's file, in words; nothing where it is right.

    There must be one list per language, of equal length, COUNTS[task] in all, of texts that are
    all different (letter case aside), without stray white space, and with QUESTION once in those
    of AQA and nowhere else.
    """
    if not isinstance(found, dict) or found.keys() != set(LANGUAGES):
        return [f"it must have a list for each of {', '.join(LANGUAGES)}"]
    texts = [text for language in LANGUAGES for text in found[language]]
    if strange := [text for text in texts if not isinstance(text, str)]:
        return [f"no texts: {strange}"]
    problems = [
        f"{language} has {len(found[language])} instructions, not {COUNTS[task] // len(LANGUAGES)}"
        for language in LANGUAGES
        if len(found[language]) != COUNTS[task] // len(LANGUAGES)
    ]
    counts = Counter(text.casefold() for text in texts)
    problems += [f"written twice: {text}" for text, count in counts.items() if count > 1]
    problems += [f"stray white space: {t!r}" for t in texts if not t or t != " ".join(t.split())]
    wanted = 1 if task == Task.AQA else 0
    problems += [
        f"it must hold {QUESTION} {wanted} times: {text}"
        for text in texts
        if text.count(QUESTION) != wanted
    ]
    return problems
