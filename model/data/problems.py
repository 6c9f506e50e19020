"""What could not be learnt from: counted and named, never fatal."""

from __future__ import annotations

import logging
from collections import Counter

NAMED = 20  # messages kept; the rest are counted

log = logging.getLogger(__name__)


class Problems:
    """Counts by reason (a stable snake_case name), and the first few messages."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.messages: list[str] = []
        self._seen: set[tuple[str, str]] = set()

    def add(self, reason: str, what: str, why: str = "") -> None:
        """Count a problem of `what` once, however often the data is gone through."""
        if (reason, what) in self._seen:
            return
        self._seen.add((reason, what))
        self.counts[reason] += 1
        if len(self.messages) < NAMED:
            message = f"skipped {what}: {reason}" + (f" ({why})" if why else "")
            self.messages.append(message)
            log.warning("%s", message)
