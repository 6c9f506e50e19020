"""The files of the page, and the headers that keep it to this server."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "page"
FILES = ("index.html", "talk.js", "recorder.js", "talk.css")
POLICY = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def file_of(name: str) -> Path | None:
    """Return the file of a name, or None: only these files are there."""
    file = FOLDER / name if name in FILES else None
    return file if file is not None and file.is_file() else None
