"""The letter or the class that an answer names, as a careful person reads it, or none.

Evidence for a letter, strongest first: the answer is only a letter; it says which letter it takes;
it begins with one; it marks one; it ends with one. Letters that it rejects ("not A", "B is wrong")
do not count, and evidence of one kind for two letters is evidence for none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

SPEAKERS = ("<1>", "<2>", "<3>")
NEXT_MESSAGE = "<|user|>"


def without_tags(answer: str) -> str:
    """Return an answer without the speaker number and the mark of the next message.

    Source: `response_cleanup_helper_cases` of ifeval/aggregate_scores.json.
    """
    if answer.startswith(SPEAKERS):
        answer = answer[len(SPEAKERS[0]) :].lstrip()
    return answer.removesuffix(NEXT_MESSAGE).rstrip() if answer.endswith(NEXT_MESSAGE) else answer


MARKUP = re.compile(r"\\(?:boxed|text|textbf|mathrm|mathbf)\b|[\\*`#_{}$]")

LETTER = r"(?<!\w)(?<!\w['’/])(?P<letter>[{letters}])(?![\w]|['’/&+\-]\w)"
OPEN = r"[\s\"'“‘(\[<（【「:：\-]*"
NAMED = rf"{OPEN}(?:(?:option|choice|letter|answer)\b|选项)?{OPEN}"
HEDGE = r"(?:\s*\b(?:definitely|probably|clearly|certainly|(?:most )?likely)\b)?"

TAKES = (
    r"\b(?:choose|select|pick|go(?:ing)? (?:with|for)|say|known as|corresponds? to|closest to|"
    r"leaves|leaving|(?:more|most) likely|must be|"
    r"(?:it|that)(?:'s| is)|(?:would|must|should) be)" + HEDGE + NAMED + LETTER,
    r"\b(?:answer|option|choice|guess|pick|question|best|correct|right|one)"
    r"(?: to [^.?!\n]{{0,60}})?"
    r"\s*(?:is|was|:)" + HEDGE + NAMED + LETTER,
    LETTER + r"['\"”’)\]]*\s+(?:is|would be)\s+(?:the\s+)?(?:best|correct|right|most)\b",
    LETTER + r"['\"”’)\]]*\s+(?:makes the most|fits|seems|matches)\b",
    rf"(?:答案|选项|正确的|应该|就)+[是为选:]?{NAMED}(?P<letter>[{{letters}}])(?![a-z])",
    rf"选择?{NAMED}(?P<letter>[{{letters}}])(?![a-z])",
    r"(?P<letter>[{letters}])项?[是为]?最?(?:正确|合适)",
    r"(?:^|[。,\s])是(?P<letter>[{letters}])(?![a-z])",
)
REJECTS = (
    r"\b(?:neither|rule out|not|among|between|of)\s+[{letters}]\b"
    r"(?:(?:\s*,\s*|\s*,?\s+(?:or|nor|and)\s+)[{letters}]\b)+",
    rf"(?:\bnot|n't|\bnor|\bthan)\s+{NAMED}{LETTER}",
    LETTER + r"['\"”’)\]]*\s+(?:is|are)\s+(?:wrong|incorrect|false|not|unlikely)\b",
    rf"(?:option|choice)\s+{LETTER}[^.,]*\bis the least\b",
    rf"不(?:应该|能)?[是选]{NAMED}(?P<letter>[{{letters}}])",
)
LEADS = rf"^{OPEN}(?P<letter>[{{letters}}])\s*[.)](?!.*\b[{{letters}}]\s*[.):])"
ALONE = rf"[\W_]*(?:\d+[.)]\s*)?{NAMED}[\W_]*(?P<letter>[{{letters}}])[\W_]*"
BEGINS = rf"^{OPEN}(?P<letter>[{{letters}}])(?<!I(?=\s))(?=[\s.,:;)\]）】。\-]|$)"
MARKS = (
    r"[(\[\"“‘](?P<letter>[{letters}])[)\]\"”’]",
    rf"\b(?:option|choice|letter)\s+{OPEN}{LETTER}",
    r"\n[\s\-]*(?P<letter>[{letters}])\s*[.:)]",
)
ENDS = r"(?:^|[\s,(])(?P<letter>[{letters}])[\s.!)\"'。]*$"


@lru_cache
def _compiled(patterns: tuple[str, ...], letters: str) -> tuple[re.Pattern[str], ...]:
    small = letters + letters.lower()
    return tuple(re.compile(p.format(letters=small), re.IGNORECASE) for p in patterns)


def read_letter(answer: str, options: int = 4) -> str | None:
    """Return the letter that `answer` chooses among the first `options` letters, or None."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:options]
    if not letters:
        return None
    text = unicodedata.normalize("NFKC", without_tags(answer))
    text = MARKUP.sub("", text).strip()
    (alone,) = _compiled((ALONE,), letters)
    if match := alone.fullmatch(text):
        return match["letter"].upper()
    for rejects in _compiled(REJECTS, letters):
        text = rejects.sub(" ", text)
    if taken := _letters_of(TAKES, letters, text):
        return taken.pop() if len(taken) == 1 else None
    if led := _letters_of((LEADS,), letters, text):
        return led.pop()
    if len(set(re.findall(LETTER.format(letters=letters), text))) > 1:
        return None  # it lists letters
    for kind in ((BEGINS,), MARKS, (ENDS,)):
        if found := _letters_of(kind, letters, text, small=kind == (BEGINS,)):
            return found.pop() if len(found) == 1 else None
    return None


def _letters_of(patterns: tuple[str, ...], letters: str, text: str, small: bool = True) -> set[str]:
    found = (m for pattern in _compiled(patterns, letters) for m in pattern.finditer(text))
    return {
        match["letter"].upper()
        for match in found
        if match["letter"].isupper() or (small and _is_named(match, text))
    }


def _is_named(match: re.Match[str], text: str) -> bool:
    """Return whether a small letter names an option, and is not part of a phrase ("a bird")."""
    after = text[match.end("letter") :]
    return not re.match(r"\s*\w", after) or (match["letter"] != "a" and after.startswith(" "))


CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
ENDINGS = ("ness", "ing", "ter", "ed", "es", "s")
LONGEST = 4  # words of a label
WORD_FIRST = re.compile(r"\s*[AI]\s+(?=[a-z])")
"""An article or a pronoun at the start of an answer, which names no option."""


def same_label(one: str, other: str) -> bool:
    """Return whether two spellings name the same class, as SubwayStation and subway_stations do."""
    return not _forms(_words(one)).isdisjoint(_forms(_words(other)))


def read_label(answer: str, options: Sequence[str]) -> str | None:
    """Return the option that `answer` names, or None if it names none or several.

    The answer is read first as the text of an option, then as its letter, then as a sentence that
    contains the words of one option; if one option contains another (subway, subway station), the
    longer one counts.
    """
    exact = [option for option in options if same_label(option, answer)]
    if len(exact) == 1:
        return exact[0]
    said = answer[begins.end() :] if (begins := WORD_FIRST.match(answer)) else answer
    letter = read_letter(said, len(options))
    if letter:
        return options[ord(letter) - ord("A")]
    words = _words(answer)
    found = [option for option in options if _holds(words, _forms(_words(option)))]
    longest = [o for o in found if not any(_inside(o, other) for other in found)]
    return longest[0] if len(longest) == 1 else None


def _words(label: str) -> list[str]:
    text = unicodedata.normalize("NFKC", CAMEL.sub(" ", label)).casefold()
    return re.findall(r"[^\W_]+", text)


def _stem(word: str) -> str:
    """Return the part that inflected forms share: laugh for laughing, laughter and laughs."""
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    return word.removesuffix("e") if len(word) > 4 else word


def _forms(words: Sequence[str]) -> set[str]:
    """Return a label without blanks, as written and by stems; empty for no words."""
    return {"".join(words), "".join(map(_stem, words))} - {""}


def _holds(words: Sequence[str], forms: set[str]) -> bool:
    spans = (words[i : i + n] for i in range(len(words)) for n in range(1, LONGEST + 1))
    return any(not forms.isdisjoint(_forms(span)) for span in spans)


def _inside(option: str, other: str) -> bool:
    one, two = "".join(_words(option)), "".join(_words(other))
    return one != two and one in two
