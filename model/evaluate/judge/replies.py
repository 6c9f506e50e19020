"""Replies of a judge, read as JSON and never executed (mode `default`)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

WORDS = {"correct": 1.0, "yes": 1.0, "true": 1.0, "incorrect": 0.0, "no": 0.0, "false": 0.0}
DECODER = json.JSONDecoder()


def objects(reply: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in a reply, whatever stands around them."""
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
    """Return 1 for `{"verdict": "correct"}`, 0 for "incorrect"; a lone word will do, too.

    The last object with a verdict counts. None for anything else.
    """
    found = [o["verdict"] for o in objects(reply) if "verdict" in o]
    if found:
        told = found[-1]
        if isinstance(told, bool):
            return float(told)
        return WORDS.get(told.strip().lower()) if isinstance(told, str) else None
    return WORDS.get(re.sub(r"[\W_]+", "", reply).lower())


def points(reply: str, low: float, high: float) -> float | None:
    """Return the number of `{"rating": 4}`, or of a reply that is nothing but a number.

    None for anything else and for a number outside `low` to `high`.
    """
    found = [o["rating"] for o in objects(reply) if "rating" in o]
    told = found[-1] if found else re.sub(r"[\s\"'*`\[\]]+|[.,]+$", "", reply)
    if isinstance(told, bool):
        return None
    try:
        value = float(told)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and low <= value <= high else None
