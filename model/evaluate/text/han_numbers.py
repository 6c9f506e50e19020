"""Arabic numbers read aloud in Mandarin, as the published normaliser reads them."""

from __future__ import annotations

DIGITS = "零一二三四五六七八九"
UNITS = dict(zip((1, 2, 3, 4, 8, 12, 16, 20, 24, 28), "十百千万亿兆京垓秭穰", strict=True))
"""Power of ten to its name; above 亿 each step is four powers."""


def by_digit(number: str) -> str:
    """Return the digits one by one: "2024" is 二零二四. Anything but a digit is left out."""
    return "".join(DIGITS[int(c)] for c in number if c.isdecimal())


def by_value(number: str) -> str:
    """Return "123" as 一百二十三 and "12.5" as 十二点五; all zeros ("00") are nothing.

    `number`: decimal digits of any script with at most one full stop.
    """
    whole, point, fraction = number.partition(".")
    parts = _parts(whole) if len(whole) > 1 else [by_digit(whole)]
    text = "".join(_pair(parts))
    if text[:2] == "一十":
        text = text[1:]
    return f"{text}点{by_digit(fraction)}" if point else text


def _parts(digits: str, zero: bool = True) -> list[str]:
    """Return digit and unit words of a whole number; `zero`: lost leading zeros are said once."""
    significant = digits.lstrip("0")
    if not significant:
        return []
    if len(significant) == 1:
        lost = zero and len(digits) > 1
        return [DIGITS[0]] * lost + [by_digit(significant)]
    power = max(p for p in UNITS if p < len(significant))
    return [*_parts(digits[:-power]), UNITS[power], *_parts(significant[-power:])]


def _pair(parts: list[str]) -> list[str]:
    """Say 两 for 二 before a unit other than 十, unless the word before is a digit or 十."""
    said = list(parts)
    units = set(UNITS.values())
    for i, part in enumerate(parts[:-1]):
        before = parts[i - 1] if i else None
        unit_before = before is None or (before in units and before != "十")
        if part == "二" and parts[i + 1] in units - {"十"} and unit_before:
            said[i] = "两"
    return said
