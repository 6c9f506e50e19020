"""Replies of a judge as the published toolkit reads them, odd places included.

Each reader returns a value, 1 and 0 for right and wrong or points on the final scale, or None for
a reply that it cannot read. Source: judge/parsing_cases.json.
"""

from __future__ import annotations

import ast
import re

DOUBLE_BRACKETS = re.compile(r"\[\[(\d+)\]\]")
POINTS = re.compile(r"\[([0-5])\]")
SCORE_IS = re.compile(r"[Tt]he score is \[([Cc]orrect|[Ii]ncorrect)\]")


def yes_or_no(reply: str) -> float | None:
    """Look for yes, then for no, anywhere in the last line ("unknown" is no)."""
    last = reply.strip().split("\n")[-1].lower()
    return 1.0 if "yes" in last else 0.0 if "no" in last else None


def rating(reply: str) -> float | None:
    """Take whatever Python reads as a number, in no range, or the first [[number]]."""
    try:
        return float(reply)
    except ValueError:
        found = DOUBLE_BRACKETS.search(reply)
        return float(found[1]) if found else None


def rating_of_ten(reply: str) -> float | None:
    """Take ten times the first [[number]]; the toolkit stops for good outside 1 to 10."""
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
