"""Hashes as names: the same content has the same name on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any


def digest_of(value: Any, length: int = 16) -> str:
    """Return `length` hex digits of the SHA-256 of `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def digest_of_lines(lines: Iterable[str], length: int = 16) -> str:
    """Return `length` hex digits of the SHA-256 of `lines`, in the order given."""
    state = hashlib.sha256()
    for line in lines:
        state.update(line.encode())
        state.update(b"\n")
    return state.hexdigest()[:length]
