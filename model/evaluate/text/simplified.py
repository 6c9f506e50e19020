"""Traditional Chinese in simplified characters."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from wavemill.model.evaluate.errors import missing


@lru_cache
def _converter() -> Any:
    try:
        from opencc import OpenCC
    except ImportError as error:
        raise missing("opencc", "simplifying Chinese text") from error
    return OpenCC("t2s")


def simplify(text: str) -> str:
    """Return `text` in simplified characters; text without Han passes unchanged.

    Raises EvaluationError where OpenCC is not installed.
    """
    return _converter().convert(text) if any("\u3400" <= c <= "\u9fff" for c in text) else text
