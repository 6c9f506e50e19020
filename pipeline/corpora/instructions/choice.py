"""Which instruction a sample gets, and in which language."""

from __future__ import annotations

import hashlib
import re

from wavemill.manifests.recording import Task
from wavemill.pipeline.corpora.instructions import LANGUAGES, QUESTION, Language, instructions

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_KANA_OR_HANGUL = re.compile("[\u3040-\u30ff\uac00-\ud7af]")


def choose_instruction(
    task: str, question: str | None, language: Language | None, seed: int, sample_id: str
) -> str:
    """Return what the user says, chosen by a hash of seed and sample id alone.

    An item with a question is asked that question, whatever its task. `language` None: chosen
    likewise. Raises ValueError for a task that is none of `Task`, unless there is a question.
    """
    texts = instructions(Task(task) if question is None else Task.AQA)
    if language is None:
        language = LANGUAGES[_draw(f"{seed}:language:{sample_id}", len(LANGUAGES))]
    chosen = texts[language][_draw(f"{seed}:instruction:{sample_id}", len(texts[language]))]
    return chosen.replace(QUESTION, question or "")


def written_language(text: str, stated: str | None) -> Language | None:
    """Return the language of instructions that suit a question or an answer; None: any.

    What is written goes first, since a Mandarin recording may have an English caption: Chinese
    characters mean Mandarin, and ASCII letters alone English unless another language is `stated`.
    Otherwise it is the stated one (`en`, `en-US`, ...).
    """
    primary = re.split("[-_]", (stated or "").lower())[0]
    if _HAN.search(text) and not _KANA_OR_HANGUL.search(text):
        return "zh"
    if text.isascii() and re.search("[A-Za-z]", text) and primary in ("", *LANGUAGES):
        return "en"
    return next((language for language in LANGUAGES if language == primary), None)


def _draw(name: str, count: int) -> int:
    """Return a number from 0 to count - 1."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % count
