"""English text to the phonemes that Kokoro speaks, by Misaki's lexicons and rules of our own.

The lexicons (`us_gold.json`, `us_silver.json` of the package misaki, Apache-2.0) are read as data.
Misaki's own code needs spaCy for parts of speech; here a word has the pronunciation that the
lexicon calls its default, endings are added by the rules of English, and what no lexicon has is
put together of known words, spelled, or read by `letter_sounds`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from wavemill.stages.speak.letter_sounds import VOWELS, letter_sounds

_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*['’]?|[;:,.!?—…“”()]|\s+|-")
_PAUSES = frozenset(";:,.!?—…")
_KEPT = frozenset(";:,.!?—…“”()")
_PLAIN = str.maketrans({"’": "'", "é": "e", "è": "e", "ê": "e", "á": "a", "à": "a", "ä": "a",
                        "ö": "o", "ó": "o", "ü": "u", "ú": "u", "í": "i", "ï": "i", "ñ": "n",
                        "ç": "c", "å": "a", "ø": "o", "ô": "o", "â": "a"})  # fmt: skip
_UNVOICED, _HISSING = "ptkfθ", "szʃʒʧʤ"
_FLAPPED = "AIOWYiuæɑəɛɪɹʊʌ"  # after these a t before a vowel is flapped
_OLD_SIGNS = str.maketrans({"ɾ": "T", "ʔ": "t"})  # what Kokoro was trained with
_SPELLED = 5  # letters: a longer word in capitals is read as a word


class Lexicon:
    """Words with their phonemes: the careful list first, then the long one."""

    def __init__(self, gold: Mapping[str, object], silver: Mapping[str, object]) -> None:
        self._gold, self._silver = gold, silver

    @classmethod
    def read(cls, gold: Path, silver: Path) -> Lexicon:
        """Read both lexicons (JSON). Raises OSError, ValueError."""
        return cls(*(json.loads(path.read_text(encoding="utf-8")) for path in (gold, silver)))

    def __call__(self, word: str, last: bool = False) -> str | None:
        """Return the phonemes of exactly this spelling; `last`: nothing follows before a pause."""
        found = self._gold.get(word, self._silver.get(word))
        if isinstance(found, Mapping):
            found = (found.get("None") if last else None) or found.get("DEFAULT")
        return found if isinstance(found, str) else None


class Phonemes:
    """Makes phonemes of text; numbers and symbols must be words already."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon

    def __call__(self, text: str) -> str:
        """Return the phonemes of a text, words apart by spaces, with marks of punctuation."""
        tokens = [" " if t.isspace() or t == "-" else t for t in _TOKEN.findall(text)]
        said: list[str] = []
        following: str | None = None  # the first sound after a word; None: a pause
        for token in reversed(tokens):
            if token in _KEPT:
                said.append(token)
                following = None if token in _PAUSES else following
            elif token == " ":
                said.append(token)
            elif sounds := self._word(token.translate(_PLAIN), following):
                said.append(sounds)
                following = next((s for s in sounds if s not in "ˈˌ"), following)
        return re.sub(r" +", " ", "".join(reversed(said))).strip().translate(_OLD_SIGNS)

    def _word(self, word: str, following: str | None) -> str:
        vowel = following is not None and following in VOWELS
        match word.lower():
            case "the":
                return "ði" if vowel else "ðə"
            case "a" if word == "a" or following is not None:  # at the end it is the letter
                return "ɐ"
            case "an":
                return "ɐn"
            case "to" if following is not None:
                return "tʊ" if vowel else "tə"
        return self._known(word, following is None) or self._unknown(word)

    def _known(self, word: str, last: bool) -> str | None:
        """Return the phonemes of a word that a lexicon has, with or without an ending."""
        spellings = dict.fromkeys((word, word.lower(), word.capitalize()))
        for spelling in spellings:
            if (found := self._lexicon(spelling, last)) is not None:
                return found
        lower = word.lower()
        if lower.endswith("'s") and word[:-2].isupper() and not self._stem(lower[:-2]):
            spelled = self._word(word[:-2], "x")
            return spelled + ("s" if spelled[-1:] in _UNVOICED else "z")
        return self._with_s(lower) or self._with_ed(lower) or self._with_ing(lower)

    def _stem(self, *stems: str) -> str | None:
        found = (self._lexicon(s) or self._lexicon(s.capitalize()) for s in stems if len(s) > 1)
        return next((one for one in found if one), None)

    def _with_s(self, word: str) -> str | None:
        if word.endswith("s'"):
            return self._known(word[:-1], False)
        if word.endswith("'s"):
            stem = self._stem(word[:-2])
        elif word.endswith("s") and not word.endswith("ss"):
            stem = self._stem(
                word[:-1],
                *([word[:-2]] if word.endswith("es") else []),
                *([word[:-3] + "y"] if word.endswith("ies") else []),
            )
        else:
            return None
        if not stem:
            return None
        if stem[-1] in _UNVOICED:
            return stem + "s"
        return stem + ("ᵻz" if stem[-1] in _HISSING else "z")

    def _with_ed(self, word: str) -> str | None:
        if not word.endswith("ed") or len(word) < 4:
            return None
        doubled = [word[:-3]] if word[-3] == word[-4] else []
        ied = [word[:-3] + "y"] if word.endswith("ied") else []
        stem = self._stem(word[:-1], word[:-2], *doubled, *ied)
        if not stem:
            return None
        if stem[-1] == "t" and len(stem) > 1 and stem[-2] in _FLAPPED:
            return stem[:-1] + "ɾᵻd"
        if stem[-1] in "td":
            return stem + "ᵻd"
        return stem + ("t" if stem[-1] in "pkfθʃsʧ" else "d")

    def _with_ing(self, word: str) -> str | None:
        if not word.endswith("ing") or len(word) < 5:
            return None
        doubled = [word[:-4]] if word[-4] == word[-5] else []
        stem = self._stem(word[:-3], word[:-3] + "e", *doubled)
        if not stem:
            return None
        if stem[-1] == "t" and len(stem) > 1 and stem[-2] in _FLAPPED:
            return stem[:-1] + "ɾɪŋ"
        return stem + "ɪŋ"

    def _unknown(self, word: str) -> str:
        letters = re.sub(r"[^a-zA-Z]", "", word)
        if not letters:
            return ""
        if word.lower().endswith("'s") and len(letters) > 1:
            return letter_sounds(letters[:-1].lower()) + "z"
        if word.isupper() and len(letters) <= _SPELLED:
            return self._spelled(letters)
        humped = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", word)
        if len(humped) > 1:
            return " ".join(filter(None, (self._word(part, "x") for part in humped)))
        return self._compound(letters.lower()) or letter_sounds(letters.lower())

    def _spelled(self, letters: str) -> str:
        """Return the names of letters, with the main stress on the last."""
        names = [self._lexicon(letter) or "" for letter in letters.upper()]
        joined = "".join(names).replace("ˈ", "ˌ")
        before, _, last = joined.rpartition("ˌ")
        return f"{before}ˈ{last}"

    def _compound(self, word: str) -> str | None:
        """Return the phonemes of two known words of three letters and more, the first longest."""
        for cut in range(len(word) - 3, 2, -1):
            first, second = self._lexicon(word[:cut]), self._known(word[cut:], False)
            if first and second:
                return first + second.replace("ˈ", "ˌ")
        return None
