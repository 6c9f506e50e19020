"""Lines that cannot be used, as rows of the errors."""

from __future__ import annotations

from wavemill.manifests.collected import Collected
from wavemill.manifests.jsonl import NotUtf8
from wavemill.manifests.labels import Origin
from wavemill.manifests.reasons import EntryError, Reason


class BadLines:
    """The errors of the lines of one file: one row each, or one row for many lines."""

    def __init__(self, into: Collected, max_rows: int, unit: str = "lines") -> None:
        """`unit` is what the file calls its lines."""
        self._into = into
        self._max_rows = max_rows
        self._unit = unit
        self._count = 0
        self._not_utf8: tuple[Origin, EntryError] | None = None  # the first one
        self._not_utf8_count = 0
        self.none_good = True

    def check(self) -> None:
        """Raise EntryError if the maximum of bad lines is reached and no line was good."""
        if self.none_good and self._count >= self._max_rows:
            message = f"none of its first {self._count} lines is good; the rest was not read"
            raise EntryError(Reason.BAD_MANIFEST, message)

    def add(self, origin: Origin, error: EntryError) -> None:
        """Count one line, and add a row for it unless there are too many."""
        if isinstance(error, NotUtf8):
            self._not_utf8 = self._not_utf8 or (origin, error)
            self._not_utf8_count += 1
            return
        self._count += 1
        if self._count <= self._max_rows:
            self._into.error(origin.uri, error)

    def finish(self, path: str) -> None:
        """Add the rows that each stand for many lines."""
        if self._not_utf8 is not None:
            origin, error = self._not_utf8
            others = self._not_utf8_count - 1
            more = f" (and {others} more lines)" if others else ""
            remedy = "remedy: convert the file, as in `iconv -f LATIN1 -t UTF-8`"
            message = f"{error.message}{more}; {remedy}"
            self._into.error(origin.uri, EntryError(error.reason, message))
        if self._count > self._max_rows:
            unlisted = self._count - self._max_rows
            message = f"{unlisted} more bad {self._unit} (sources.lines.max_bad_lines)"
            self._into.error(path, EntryError(Reason.BAD_MANIFEST, message))
