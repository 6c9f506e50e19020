"""Numbers in Chinese text in one form, however they were written: 一百二十 and 120 are equal.

Several spellings have one value but one spelling has several readings (12345 is 一万两千三百四十五
or 一二三四五), so numbers go from Han characters to digits and not the other way.
"""

from __future__ import annotations

import re

HAN_DIGITS = dict(zip("零〇一二三四五六七八九两幺", (0, *range(10), 2, 1), strict=True))
SMALL = {"十": 10, "百": 100, "千": 1000}
LARGE = {"万": 10**4, "亿": 10**8}

DIGIT = f"[0-9{''.join(HAN_DIGITS)}]"
RUN = re.compile(f"[0-9{''.join(HAN_DIGITS)}十百千万亿]+")
SCALED = re.compile(f"({DIGIT}+)点({DIGIT}+)([万亿])")
PIECE = re.compile("[0-9]+|.")
PERCENT = re.compile(r"百分之([0-9]+(?:点[0-9]+)?)")
FRACTION = re.compile(r"([0-9]+)分之([0-9]+)")


def _as_digits(text: str) -> str:
    return "".join(str(HAN_DIGITS.get(c, c)) for c in text)


def value_of(run: str) -> int | None:
    """Return the value of a number with units such as 两千零五, None for what is none (万一).

    A last digit without 零 counts the next lower unit, as in 一百五 (150).
    """
    total = section = 0
    digit: int | None = None
    last, zero = 1, False
    for piece in PIECE.findall(run):
        if piece in LARGE:
            section += digit or 0
            if not section and not total:
                return None
            if LARGE[piece] > 10**4:
                total, section = (total + section) * LARGE[piece], 0
            else:
                total, section = total + section * LARGE[piece], 0
            digit, last, zero = None, LARGE[piece], False
        elif piece in SMALL:
            if digit is None and (piece != "十" or section):
                return None
            section += (1 if digit is None else digit) * SMALL[piece]
            digit, last, zero = None, SMALL[piece], False
        elif digit:
            return None  # 一二十
        else:
            digit, zero = int(_as_digits(piece)), zero or piece in "零〇"
    if digit and last >= 100 and not zero and digit < 10:
        digit *= last // 10
    return total + section + (digit or 0)


def _shortest(value: int) -> str:
    """Write round numbers with 万 and 亿, so that a row of zeros does not outweigh the words."""
    for unit in ("亿", "万"):
        if value and value % LARGE[unit] == 0:
            return f"{value // LARGE[unit]}{unit}"
    return str(value)


def _read(match: re.Match[str]) -> str:
    run = match[0]
    if not any(c in SMALL or c in LARGE for c in run):
        digits = _as_digits(run)
        return digits if digits.startswith("0") else _shortest(int(digits))
    value = value_of(run)
    return run if value is None else _shortest(value)


def _scaled(match: re.Match[str]) -> str:
    whole, fraction = _as_digits(match[1]), _as_digits(match[2])
    value = int(whole + fraction) * LARGE[match[3]]
    exact, rest = divmod(value, 10 ** len(fraction))
    return match[0] if rest else str(exact)


def unify_numbers(text: str) -> str:
    """Return `text` with numbers in digits, 点 as the decimal point, `%` and `a/b`."""
    text = re.sub(r"(?<=[0-9])\.(?=[0-9])", "点", text)
    text = re.sub(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))", "", text)
    text = text.replace("百分之百", "百分之一百")
    text = RUN.sub(_read, SCALED.sub(_scaled, text))
    return FRACTION.sub(r"\2/\1", PERCENT.sub(r"\1%", text))
