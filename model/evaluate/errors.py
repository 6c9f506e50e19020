"""What stops a whole evaluation, as against one item of it."""

from __future__ import annotations


class EvaluationError(Exception):
    """Names what is missing or wrong, and the remedy; for people, without a traceback."""


def missing(package: str, purpose: str) -> EvaluationError:
    """Return the error for a package of the extra `evaluate` that is not installed."""
    return EvaluationError(
        f"{purpose} needs the package {package}, which is not installed: "
        "pip install 'wavemill[evaluate]'"
    )
