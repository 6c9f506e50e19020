"""Markdown and HTML to plain sentences."""

from __future__ import annotations

import html
import re
import unicodedata

_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_LINK = re.compile(r"\[([^\]]+)\]\((?:[^()]|\([^)]*\))*\)")
_REFERENCE = re.compile(r"\[(\d{1,3}|\^\w+)\]")
_FENCE = re.compile(r"^\s*(```|~~~).*$", re.MULTILINE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<!--.*?-->", re.DOTALL)
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*\s*$")
_BULLET = re.compile(r"^\s*(?:[-*•+]|\d{1,2}[.)])\s+")
_QUOTE = re.compile(r"^\s*>+\s?")
_RULE = re.compile(r"^\s*([-*_=]\s*){3,}$")
_EMPHASIS = re.compile(r"(\*{1,3}|_{1,3}|~~)(?=\S)(.+?)(?<=\S)\1")
_ENDS = ".!?…:;,"


def plain(text: str) -> str:
    """Return the text without markup: every heading and list item ends as a sentence does."""
    text = unicodedata.normalize("NFC", html.unescape(text))
    text = _FENCE.sub("", text)
    text = _TAG.sub(" ", _LINK.sub(r"\1", _IMAGE.sub(" ", text)))
    text = _REFERENCE.sub("", text).replace("`", "")
    paragraphs: list[str] = []
    open_line = False  # the next line goes on with this one
    for line in text.splitlines():
        heading, bullet = _HEADING.match(line), _BULLET.match(line)
        if not line.strip() or _RULE.match(line):
            open_line = False
            continue
        words = _QUOTE.sub("", heading[1] if heading else _BULLET.sub("", line)).strip()
        words = _emphasised(words)
        if open_line and not heading and not bullet:
            paragraphs[-1] += " " + words
        else:
            paragraphs.append(words)
        open_line = not heading
    return " ".join(_ended(paragraph) for paragraph in paragraphs if paragraph.strip())


def _emphasised(text: str) -> str:
    for _ in range(3):  # bold within italics
        text = _EMPHASIS.sub(lambda m: m[2], text)
    return text


def _ended(paragraph: str) -> str:
    """Return a paragraph that ends with a mark; a colon before a list is a full stop."""
    paragraph = paragraph.strip()
    closing = paragraph.rstrip("\"')]”’")
    if closing and closing[-1] in ":;,":
        return closing[:-1] + "."
    return paragraph if closing and closing[-1] in _ENDS else paragraph + "."
