"""Numbers, dates, times, units, currencies, abbreviations and symbols as English words.

Numbers become words by the package num2words; which kind of number stands where is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_SCALES = "thousand|million|billion|trillion"
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_SHORT_MONTHS = {
    "Jan": "January", "Feb": "February", "Mar": "March", "Apr": "April", "Jun": "June",
    "Jul": "July", "Aug": "August", "Sep": "September", "Sept": "September", "Oct": "October",
    "Nov": "November", "Dec": "December",
}  # fmt: skip
# one, several
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "US$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
_CODES = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}
_UNITS = {
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "mph": ("mile per hour", "miles per hour"),
    "m/s": ("meter per second", "meters per second"),
    "km²": ("square kilometer", "square kilometers"),
    "m²": ("square meter", "square meters"),
    "m³": ("cubic meter", "cubic meters"),
    "km": ("kilometer", "kilometers"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "nm": ("nanometer", "nanometers"),
    "m": ("meter", "meters"),
    "mi": ("mile", "miles"),
    "ft": ("foot", "feet"),
    "yd": ("yard", "yards"),
    "kg": ("kilogram", "kilograms"),
    "mg": ("milligram", "milligrams"),
    "g": ("gram", "grams"),
    "lbs": ("pound", "pounds"),
    "lb": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "ml": ("milliliter", "milliliters"),
    "mL": ("milliliter", "milliliters"),
    "l": ("liter", "liters"),
    "L": ("liter", "liters"),
    "kWh": ("kilowatt hour", "kilowatt hours"),
    "kW": ("kilowatt", "kilowatts"),
    "MW": ("megawatt", "megawatts"),
    "W": ("watt", "watts"),
    "V": ("volt", "volts"),
    "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"),
    "Hz": ("hertz", "hertz"),
    "KB": ("kilobyte", "kilobytes"),
    "kB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"),
    "Mbps": ("megabit per second", "megabits per second"),
    "ms": ("millisecond", "milliseconds"),
    "hrs": ("hour", "hours"),
    "hr": ("hour", "hours"),
    "min": ("minute", "minutes"),
    "sec": ("second", "seconds"),
    "s": ("second", "seconds"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"),
    "K": ("kelvin", "kelvin"),
    "dB": ("decibel", "decibels"),
    "kcal": ("kilocalorie", "kilocalories"),
    "%": ("percent", "percent"),
}
_ABBREVIATIONS = {
    r"e\.\s?g\.,?": "for example,", r"i\.\s?e\.,?": "that is,", r"etc\.": "et cetera",
    r"vs\.?": "versus", r"Mr\.": "Mister", r"Mrs\.": "Missus", r"Ms\.": "Miz", r"Dr\.": "Doctor",
    r"Prof\.": "Professor", r"approx\.": "approximately", r"No\.(?=\s?\d)": "number",
    r"w/o": "without", r"w/": "with ", r"a\.m\.": "AM", r"p\.m\.": "PM", r"U\.S\.A\.": "USA",
    r"U\.S\.": "US", r"U\.K\.": "UK", r"Ph\.\s?D\.?": "PhD", r"Jr\.": "Junior", r"Sr\.": "Senior",
}  # fmt: skip
_SYMBOLS = {
    "&": "and", "+": "plus", "=": "equals", "×": "times", "÷": "divided by", "@": "at",
    "≈": "is about", "±": "plus or minus", "<": "is less than", ">": "is more than",
    "≤": "is at most", "≥": "is at least", "→": "to", "≠": "is not", "#": "number", "%": "percent",
    "°": "degrees", "²": "squared", "³": "cubed", "½": "one half", "¼": "one quarter",
    "¾": "three quarters", "π": "pi", "$": "dollars", "€": "euros", "£": "pounds", "^": "to the",
}  # fmt: skip
_LETTER = re.compile(r"[^\W\d_]")
_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+(?=[\"'“‘(]?[^\W\d_a-z])")


@lru_cache(maxsize=4096)
def number_words(value: str, to: str = "cardinal") -> str:
    """Return a number in digits (commas allowed) as words; `to`: cardinal, ordinal, year."""
    from num2words import num2words

    plain = value.replace(",", "")
    whole, point, decimals = plain.partition(".")
    if (len(whole) > 1 and whole.startswith("0")) or len(whole) > 15:
        said = digit_words(whole)
    else:
        said = _without_hyphens(num2words(int(whole or "0"), to=to, lang="en"))
    return f"{said} point {digit_words(decimals)}" if point else said


def digit_words(digits: str) -> str:
    """Return digits one by one."""
    return " ".join(number_words(digit) for digit in digits)


def _without_hyphens(words: str) -> str:
    return re.sub(r"[-,]", " ", words).replace("  ", " ").replace(" and ", " ").strip()


def spoken(text: str) -> str:
    """Return plain text with words in place of all digits and symbols."""
    text = _typography(text)
    for pattern, words in _PATTERNS:
        text = pattern.sub(words, text)
    return _tidy(text)


def sentences(text: str) -> list[str]:
    """Return the sentences of a text."""
    return [part.strip() for part in _SENTENCE.split(text) if part.strip()]


def _typography(text: str) -> str:
    text = re.sub(r"[“”„«»]", '"', text)
    text = re.sub(r"[‘’‚`´]", "'", text)
    text = re.sub(r"\s*[—―]\s*|\s+[–-]+\s+", ", ", text)
    text = re.sub(r"[\u00a0\u202f\u2009\u200b]", " ", text)
    return text.replace("…", "...").replace("−", "-").replace("⁄", "/")


def _time(match: re.Match[str]) -> str:
    hour, minute, half = int(match["hour"]), int(match["minute"]), match["half"]
    if hour > 24 or minute > 59:
        return match[0]
    said = number_words(str(hour))
    if minute:
        said += f" {'oh ' if minute < 10 else ''}{number_words(str(minute))}"
    elif not half:
        said += " o'clock" if hour <= 12 else " hundred"
    return f"{said} {_half(half)}" if half else said


def _half(half: str) -> str:
    return half.replace(".", "").upper()


def _hour(match: re.Match[str]) -> str:
    return f"{number_words(match['hour'])} {_half(match['half'])}"


def _iso_date(match: re.Match[str]) -> str:
    year, month, day = (int(match[name]) for name in ("year", "month", "day"))
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        return match[0]
    return f"{_MONTHS.split('|')[month - 1]} {_ordinal(str(day))}, {_year(str(year))}"


def _month_day(match: re.Match[str]) -> str:
    month = _SHORT_MONTHS.get(match["month"], match["month"])
    year = f", {_year(match['year'])}" if match["year"] else ""
    return f"{month} {_ordinal(match['day'])}{year}"


def _day_month(match: re.Match[str]) -> str:
    month = _SHORT_MONTHS.get(match["month"], match["month"])
    year = f" {_year(match['year'])}" if match["year"] else ""
    return f"the {_ordinal(match['day'])} of {month}{year}"


def _ordinal(digits: str) -> str:
    return number_words(digits, "ordinal")


def _year(digits: str) -> str:
    return number_words(digits, "year")


def _decade(match: re.Match[str]) -> str:
    words = _year(match["year"]) if len(match["year"]) == 4 else number_words(match["year"])
    return words[:-1] + "ies" if words.endswith("y") else words + "s"


def _money(match: re.Match[str]) -> str:
    sign, amount, scale = match["sign"], match["amount"].replace(",", ""), match["scale"]
    one, many, cent, cents = _CURRENCIES[sign]
    if scale:
        return f"{number_words(amount)} {_scale(scale)} {many}"
    whole, _, part = amount.partition(".")
    if len(part) > 2 or (part and not cent):
        return f"{number_words(amount)} {many}"
    said = [f"{number_words(whole)} {one if whole == '1' else many}"] if int(whole) else []
    if part and int(part.ljust(2, "0")):
        small = str(int(part.ljust(2, "0")))
        said.append(f"{number_words(small)} {cent if small == '1' else cents}")
    return " and ".join(said) or f"zero {many}"


def _scale(scale: str) -> str:
    short = {"k": "thousand", "m": "million", "b": "billion", "bn": "billion", "t": "trillion"}
    return short.get(scale.strip().lower(), scale.strip())


def _coded(match: re.Match[str]) -> str:
    return f"{number_words(match['amount'])} {_CURRENCIES[_CODES[match['code']]][1]}"


def _unit(match: re.Match[str]) -> str:
    one, many = _UNITS[match["unit"]]
    amount = match["amount"].replace(",", "")
    sign = "minus " if match["sign"] else ""
    return f"{sign}{number_words(amount)} {one if amount == '1' else many}"


def _fraction(match: re.Match[str]) -> str:
    top, bottom = int(match["top"]), int(match["bottom"])
    if not 0 < top < bottom <= 16:
        return f"{number_words(match['top'])} over {number_words(match['bottom'])}"
    names = {2: "half", 4: "quarter"}
    name = names.get(bottom) or _ordinal(str(bottom))
    plural = name if top == 1 else {"half": "halves"}.get(name, name + "s")
    return f"{number_words(str(top))} {plural}"


def _version(match: re.Match[str]) -> str:
    return " point ".join(number_words(part) for part in match[0].split("."))


def _thousands(match: re.Match[str]) -> str:
    return f"{number_words(match['amount'])} {_scale(match['scale'])}"


def _range(match: re.Match[str]) -> str:
    low, high = (float(match[name].replace(",", "")) for name in ("low", "high"))
    if low >= high or (len(match["low"]), len(match["high"])) == (3, 4):  # of a telephone
        digits = f"{match['low']} {match['high']}".replace(",", "")
        return (
            " ".join(digit_words(part) for part in digits.split()) if "." not in digits else digits
        )
    return f"{match['low']} to {match['high']}"


def _plain_number(match: re.Match[str]) -> str:
    digits = match["amount"]
    sign = "minus " if match["sign"] else ""
    if not sign and re.fullmatch(r"1[1-9]\d\d|20[0-9]\d", digits):
        return _year(digits)
    if re.fullmatch(r"\d{7,}", digits):  # a number of a telephone or an account
        return sign + digit_words(digits)
    return sign + number_words(digits)


def _mixed(match: re.Match[str]) -> str:
    """Part letters from digits: GPT4 is GPT 4, 3D is 3 D."""
    return match[0][0] + " " + match[0][1:]


def _symbol(match: re.Match[str]) -> str:
    return f" {_SYMBOLS[match[0]]} "


Words = str | Callable[[re.Match[str]], str]


def _any(names: Iterable[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


def _patterns() -> list[tuple[re.Pattern[str], Words]]:
    months = f"{_MONTHS}|" + "|".join(_SHORT_MONTHS)
    number = rf"(?P<amount>{_NUMBER})"
    day, year = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?", r"(?P<year>\d{4})"
    found: list[tuple[str, Words]] = [
        *((rf"(?<![\w.]){short}(?!\w)", words) for short, words in _ABBREVIATIONS.items()),
        (rf"(?<!\d){year}-(?P<month>\d\d)-(?P<day>\d\d)(?!\d)", _iso_date),
        (rf"\b(?P<month>{months})\.?\s+{day}\b(?!:)(?:,?\s+{year}\b)?", _month_day),
        (rf"\b{day}\s+(?:of\s+)?(?P<month>{months})\b\.?(?:,?\s+{year}\b)?", _day_month),
        (
            r"\b(?P<hour>\d{1,2}):(?P<minute>\d\d)(?!\d|:)(?:\s?(?P<half>[ap]\.?m\b\.?))?",
            _time,
        ),
        (r"(?i)\b(?P<hour>\d{1,2})\s?(?P<half>[ap]\.?m\b\.?)", _hour),
        (r"(?<![\w$£€])'?(?P<year>\d{2}|\d{3}0)s\b", _decade),
        (
            rf"(?P<sign>{_any(_CURRENCIES)})\s?{number}"
            rf"(?P<scale>\s?(?:{_SCALES}|bn\b|[kKmMbBtT]\b))?",
            _money,
        ),
        (rf"\b{number}\s?(?P<code>{_any(_CODES)})\b", _coded),
        (rf"(?<![\w.-])(?P<low>{_NUMBER})\s?[–-]\s?(?P<high>(?:{_NUMBER})(?![\d-]))", _range),
        (r"\b24/7\b", "twenty four seven"),
        (r"(?<![\w.])\d+(?:\.\d+){2,}(?![\w.]\d)", _version),
        (r"(?<![\w.])(?P<amount>\d+(?:\.\d+)?)(?P<scale>[kKMB])\b", _thousands),
        (rf"(?<![\w.])(?P<sign>-)?{number}\s?(?P<unit>{_any(_UNITS)})(?![\w/²³])", _unit),
        (r"(?<![\w/.])(?P<top>\d{1,3})/(?P<bottom>\d{1,3})(?![\w/])", _fraction),
        (r"(?<![\w.])(\d{1,3}(?:,\d{3})+|\d+)(st|nd|rd|th)\b", lambda m: _ordinal(m[1])),
        (r"[^\W\d_](?=\d)|\d(?=[^\W\d_])", _mixed),
        (rf"(?:(?<![\w)])(?P<sign>-)(?=\d))?{number}", _plain_number),
        (r"\band/or\b", "and or"),
        (r"(?<=\w)\s*/\s*(?=\w)", " or "),
        (f"[{re.escape(''.join(_SYMBOLS))}]", _symbol),
    ]
    return [(re.compile(pattern), words) for pattern, words in found]


_PATTERNS = _patterns()


def _tidy(text: str) -> str:
    """Drop what nobody says, and mend spaces and marks."""
    text = re.sub(r"[^\w\s.,;:!?'\"()-]|_", " ", text)
    text = re.sub(r"(?<!\w)'|'(?!\w)", " ", text).replace('"', " ")
    text = re.sub(r"\s*[()]\s*", ", ", text)
    text = re.sub(r"\.{2,}", ".", text)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"\s+([.,;:!?])", r"\1", text)
    text = re.sub(r"([,;:])(?:\s*[,;:])+", r"\1", text)
    text = re.sub(r"[,;:]\s*([.!?])", r"\1", text)
    text = re.sub(r"([.!?])[,;:.]+", r"\1", text)
    return re.sub(r"^[\s,;:.!?-]+", "", text).strip()


def has_words(text: str) -> bool:
    """Whether there is anything to say."""
    return _LETTER.search(text) is not None
