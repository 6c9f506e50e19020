"""The class of a closed set that an answer names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from wavemill.model.evaluate.reading.letter import read_letter

CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
ENDINGS = ("ness", "ing", "ter", "ed", "es", "s")
LONGEST = 4  # words of a label
WORD_FIRST = re.compile(r"\s*[AI]\s+(?=[a-z])")
"""An article or a pronoun that an answer begins with, and that is no letter."""


def same_label(one: str, other: str) -> bool:
    """Tell whether two spellings name the same class: SubwayStation and subway_stations do."""
    return not _forms(_words(one)).isdisjoint(_forms(_words(other)))


def read_label(answer: str, options: Sequence[str]) -> str | None:
    """Return the option that `answer` names, None where it names none or several.

    Read first as an option's text, then as its letter, then as a sentence that holds the words of
    one option; of two options one within the other (subway, subway station) the longer counts.
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
    """Return what inflected forms share: laughing, laughter and laughs are laugh."""
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    return word.removesuffix("e") if len(word) > 4 else word


def _forms(words: Sequence[str]) -> set[str]:
    """Return a label without blanks, as written and by stems; none for no words."""
    return {"".join(words), "".join(map(_stem, words))} - {""}


def _holds(words: Sequence[str], forms: set[str]) -> bool:
    spans = (words[i : i + n] for i in range(len(words)) for n in range(1, LONGEST + 1))
    return any(not forms.isdisjoint(_forms(span)) for span in spans)


def _inside(option: str, other: str) -> bool:
    one, two = "".join(_words(option)), "".join(_words(other))
    return one != two and one in two
