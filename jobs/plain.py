"""Text from recordings and manifests, made safe for a terminal."""

from __future__ import annotations

from rich.text import Text

JOINERS = "\u200c\u200d"  # parts of words in some scripts, though not printable


def plain(text: str, style: str = "") -> Text:
    """Return `text` as one line that no one interprets: neither rich markup nor control codes."""
    return Text(
        "".join(
            c if c.isprintable() or c in JOINERS else " " if c.isspace() else "\ufffd" for c in text
        ),
        style,
    )


def printable(text: str) -> str:
    """Return `text` without control codes, lines and tabs as they are, for standard output."""
    return "".join(c if c.isprintable() or c in JOINERS or c in "\n\t" else "\ufffd" for c in text)
