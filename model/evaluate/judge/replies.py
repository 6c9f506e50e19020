"""How replies of a judge are read: as JSON (`default`), or as by the published toolkit (`compat`).

Nothing in a reply is ever executed. Each reader returns a value, 1 and 0 for right and wrong or
points on the final scale, or None for a reply that it cannot read. Source of `compat`:
judge/parsing_cases.json.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

WORDS = {"correct": 1.0, "yes": 1.0, "true": 1.0, "incorrect": 0.0, "no": 0.0, "false": 0.0}
DECODER = json.JSONDecoder()


def objects(reply: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in a reply, whatever text is around them."""
    place = reply.find("{")
    while place >= 0:
        try:
            found, place_after = DECODER.raw_decode(reply, place)
        except (ValueError, RecursionError):
            place_after = place + 1
        else:
            if isinstance(found, dict):
                yield found
        place = reply.find("{", place_after)


def verdict(reply: str) -> float | None:
    """Return 1 for `{"verdict": "correct"}` and 0 for "incorrect"; a single word is enough.

    The last object with a verdict counts. None for anything else.
    """
    found = [o["verdict"] for o in objects(reply) if "verdict" in o]
    if found:
        stated = found[-1]
        if isinstance(stated, bool):
            return float(stated)
        return WORDS.get(stated.strip().lower()) if isinstance(stated, str) else None
    return WORDS.get(re.sub(r"[\W_]+", "", reply).lower())


def points(reply: str, low: float, high: float) -> float | None:
    """Return the number of `{"rating": 4}`, or of a reply that is only a number.

    None for anything else and for a number outside `low` to `high`.
    """
    found = [o["rating"] for o in objects(reply) if "rating" in o]
    stated = found[-1] if found else re.sub(r"[\s\"'*`\[\]]+|[.,]+$", "", reply)
    if isinstance(stated, bool):
        return None
    try:
        value = float(stated)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and low <= value <= high else None


DOUBLE_BRACKETS = re.compile(r"\[\[(\d+)\]\]")
POINTS = re.compile(r"\[([0-5])\]")
SCORE_IS = re.compile(r"[Tt]he score is \[([Cc]orrect|[Ii]ncorrect)\]")


def yes_or_no(reply: str) -> float | None:
    """Look for yes, then for no, anywhere in the last line ("unknown" counts as no)."""
    last = reply.strip().split("\n")[-1].lower()
    return 1.0 if "yes" in last else 0.0 if "no" in last else None


def rating(reply: str) -> float | None:
    """Take anything that Python reads as a number, in any range, or the first [[number]]."""
    try:
        return float(reply)
    except ValueError:
        found = DOUBLE_BRACKETS.search(reply)
        return float(found[1]) if found else None


def rating_of_ten(reply: str) -> float | None:
    """Take ten times the first [[number]]; outside 1 to 10 the toolkit crashes."""
    found = DOUBLE_BRACKETS.search(reply)
    return 10.0 * int(found[1]) if found and 1 <= int(found[1]) <= 10 else None


def points_of_five(reply: str) -> float | None:
    """Take twenty times the last [digit] from 0 to 5."""
    found = POINTS.findall(reply)
    return 20.0 * int(found[-1]) if found else None


def score_is(reply: str) -> float | None:
    """Take the first "the score is [Correct]" or "[Incorrect]"."""
    found = SCORE_IS.search(reply)
    return float(found[1].lower() == "correct") if found else None


def judgment(reply: str) -> float | None:
    """Read the first braces as a Python literal: null is none, single quotes are allowed.

    The toolkit runs them as Python; here they are only parsed (`ast.literal_eval`).
    """
    text = reply[reply.find("{") : reply.find("}") + 1]
    try:
        return float(ast.literal_eval(text)["judgment"].lower() == "correct")
    except (ValueError, SyntaxError, LookupError, TypeError, AttributeError, RecursionError):
        return None


# Readers of mode `compat`, by the names that rubrics.yaml gives them as `published`.
PUBLISHED: Mapping[str, Callable[[str], float | None]] = {
    reader.__name__: reader
    for reader in (yes_or_no, rating, rating_of_ten, points_of_five, score_is, judgment)
}
