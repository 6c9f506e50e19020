"""Text made comparable: what word error rates are counted over."""

from __future__ import annotations

import re
import unicodedata

# Letters and digits of any script; an apostrophe counts between two of them only ("don't").
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_APOSTROPHES = str.maketrans("\u2018\u2019\u02bc\uff07", "''''")


def normalize(text: str) -> str:
    """Return `text` in lower case without punctuation, its words parted by single spaces.

    A hyphen parts words; numbers stay as they are written ("5" is not "five").
    """
    plain = unicodedata.normalize("NFC", text).translate(_APOSTROPHES).lower()
    return " ".join(_WORD.findall(plain))
