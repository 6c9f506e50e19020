"""Durations as a person reads them."""

from __future__ import annotations


def hours(milliseconds: float) -> str:
    """Return a duration as a person reads it: hours, or minutes and seconds when it is short."""
    seconds = milliseconds / 1000
    if seconds >= 3600:
        return f"{seconds / 3600:,.1f} h"
    return f"{int(seconds // 60)}:{seconds % 60:04.1f} min"


def time_text(seconds: float) -> str:
    """Return a working time in the unit that a person would take."""
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:,.1f} h"
