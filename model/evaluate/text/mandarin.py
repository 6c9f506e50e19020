"""The published normaliser of Mandarin: numbers are written out, punctuation becomes blanks.

Source: `chinese` cases of asr/normalizer_cases.json. Each rule collects its matches in the text
as it is and then replaces the first place where the same characters occur, which may not be the
place of the match; this is kept, because published figures rest on it.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from dataclasses import dataclass

DIGITS = "零一二三四五六七八九"
UNITS = dict(zip((1, 2, 3, 4, 8, 12, 16, 20, 24, 28), "十百千万亿兆京垓秭穰", strict=True))
"""Names of powers of ten; above 亿 each step is four powers."""


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
    """Return digit and unit words of a whole number; with `zero`, leading zeros are read once."""
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


SCALE = "(?:亿|千万|百万|万|千|百)"
MONEY = f"(?:{SCALE}|{SCALE}?元|{SCALE}?块|角|毛|分)"
MEASURES = (  # what a number before it counts; common ones are missing, such as 米, 次, 台
    "个只条张匹头口尾根支枝棵颗粒丸泡片块面本页件位名身家户座幢层堂课"
    "双对队群堆叠打手罗担捆扎贯刀令辆顶盏首阙阵场回跳网炮袭"
    "斤两钱铢石钧锱忽毫厘丝寸尺丈里寻常铺程撮勺合升斗"
    "盘碗碟桶笼盆盒杯钟斛锅簋篮罐瓶壶卮箩箱煲啖袋钵"
    "年月日季刻时周天秒分旬纪岁世更夜春夏秋冬代伏辈"
    "丘挑壳窠曲墙腔砣客坡山岭江溪单出脚板贴针线管道"
)
COUNTED = f"(?:[{MEASURES}]|[千毫微]克|[千分厘毫微]米)"

STOPS = (
    "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃《》「」『』【】〔〕〖〗"
    "〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏·〈〉"
)
TO_BLANK = str.maketrans(dict.fromkeys(STOPS + string.punctuation, " "))

NUMBER = re.compile(r"\d+(?:\.\d+)?")
LETTER_TWO = re.compile(r"([a-zA-Z]+)二([a-zA-Z]+)")


def _numbers(found: str) -> str:
    for number in NUMBER.findall(found):
        found = found.replace(number, by_value(number), 1)
    return found


def _date(found: str) -> str:
    year, mark, rest = found.rpartition("年")
    return f"{by_digit(year)}{mark}{_numbers(rest)}"


def _fraction(found: str) -> str:
    over, under = found.split("/")
    return f"{by_value(under)}分之{by_value(over)}"


def _percent(found: str) -> str:
    return f"百分之{by_value(found.rstrip('%'))}"


@dataclass(frozen=True)
class NumberRule:
    """Replaces the first group of `pattern` by what `read` makes of it."""

    pattern: re.Pattern[str]
    read: Callable[[str], str]

    def apply(self, text: str) -> str:
        for match in list(self.pattern.finditer(text)):
            found = match[1]
            text = text.replace(found, self.read(found), 1)
        return text


RULES = tuple(
    NumberRule(re.compile(pattern), read)
    for pattern, read in (
        (r"\D+((?:(?:[089]\d|(?:19|20)\d{2})年)?(?:\d{1,2}月(?:\d{1,2}[日号])?)?)", _date),
        (rf"\D+(\d+(?:\.\d+)?[多余几]?{MONEY}(?:\d{MONEY}?)?)", _numbers),
        (r"\D((?:\+?86 ?)?1(?:[38]\d|5[0-35-9]|7[678]|9[89])\d{8})\D", by_digit),  # mobile
        (r"\D((?:0(?:10|2[1-3]|[3-9]\d{2})-?)?[1-9]\d{6,7})\D", by_digit),  # landline
        (r"(\d+/\d+)", _fraction),
        (r"(\d+(?:\.\d+)?%)", _percent),
        (rf"(\d+(?:\.\d+)?)[多余几]?{COUNTED}", by_value),
        (r"(\d{4,32})", by_digit),
        (r"(\d+(?:\.\d+)?)", by_value),
    )
)


def normalize_mandarin(text: str) -> str:
    """Return `text` with numbers in Han characters and punctuation as blanks."""
    text = f"^{text}$"  # rules that need a neighbour find one
    for rule in RULES:
        text = rule.apply(text.replace("％", "%") if rule.read is _percent else text)
    text = LETTER_TWO.sub(r"\g<1>2\2", text)  # B2B, P2P
    return text.lstrip("^").rstrip("$").translate(TO_BLANK)
