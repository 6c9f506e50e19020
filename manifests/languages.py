"""Codes of languages, from any code or name that people and programs write."""

from __future__ import annotations

import re

from wavemill.manifests.values import cached_by_text

_NONE = frozenset(
    {"und", "mul", "mis", "zxx"}
)  # ISO 639's codes for none, several or unknown languages
_PRIVATE = re.compile(r"x-|q[a-t][a-z]$")  # for private use
_OLD = {"fil": "tl"}  # CLDR puts Filipino in the place of Tagalog, whose code is the older one
_MIN_NAME = 4  # letters; shorter texts can only be codes
_MAX_TEXT = 100  # characters of a tag or a name
_LOCALE_PART = re.compile(r"[.@]")  # en_US.UTF-8, de_DE@euro
_BETWEEN = re.compile(r"[-/,;+&|_]|\band\b")


@cached_by_text
def language_code(stated: str) -> str | None:
    """Return the ISO 639-1 code of a language (`en`), given a code, a tag or a name of it.

    A language without such a code has the one of ISO 639-3 (`yue`, `haw`); the leading member of
    a group has the group's (`cmn`: `zh`, `arb`: `ar`). Countries and scripts (`en-US`, `zh_TW`)
    are dropped.
    None if the language is not known, or there are several (`mul`, `en,zh`).
    """
    text = _LOCALE_PART.split(stated.strip())[0]
    if len(text) > _MAX_TEXT or not text.isprintable():  # langcodes fails at a NUL
        return None
    code = _of_tag(text) or _of_name(text)
    return None if code in _NONE else code


def _of_tag(tag: str) -> str | None:
    from langcodes import Language, standardize_tag  # large, and few sources state languages

    try:
        language = Language.get(standardize_tag(tag, macro=True)).language
    except ValueError:  # not the form of a tag
        return None
    if language is None or _PRIVATE.match(language) or not Language.get(language).is_valid():
        return None
    return _OLD.get(language, language)


def _of_name(name: str) -> str | None:
    found = {_of_part(part) for part in (name, *_BETWEEN.split(name))} - {None}
    return found.pop() if len(found) == 1 else None


def _of_part(name: str) -> str | None:
    if len(name.strip()) < _MIN_NAME and name.isascii():
        return None
    from langcodes import find

    try:
        return _of_tag(str(find(name.strip())))
    except (LookupError, ValueError):  # ValueError: half a character
        return None
