"""File names as text: bytes that are not UTF-8, and accented letters as one or two characters."""

from __future__ import annotations

import os
import unicodedata


def printable(uri: str) -> str:
    """Return a name that any table can hold: bytes that are not UTF-8 become \\xNN."""
    return uri if uri.isascii() else os.fsencode(uri).decode("utf-8", "backslashreplace")


def in_a_line(name: str) -> str:
    """Return a name for a line of text: line ends and control codes are escaped."""
    name = printable(name)
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def is_utf8(name: str) -> bool:
    """Whether the file name was UTF-8 (Python holds other bytes as lone surrogates)."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def composed(name: str) -> str:
    """Return the name with one character for each accented letter (Macs write two)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)
