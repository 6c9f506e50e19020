"""Kinds of instructions: a check and the arguments it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wavemill.model.evaluate.scoring import Mode

RELATIONS = ("less than", "at least")


class Unscored(Exception):
    """Why an instruction cannot be checked; it is then reported as unscored, never guessed."""


@dataclass(frozen=True)
class Arguments:
    """The arguments of one instruction; methods raise Unscored for a missing or invalid one.

    The published program draws missing arguments at random.
    """

    values: Mapping[str, Any]
    mode: Mode = "default"

    def count(self, name: str) -> int:
        """Return a positive whole number."""
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Unscored(f"argument {name} is missing or no number: {value!r}")
        if value <= 0 or value != int(value):
            raise Unscored(f"argument {name} is not a positive whole number: {value!r}")
        return int(value)

    def text(self, name: str) -> str:
        """Return a text that is not empty."""
        value = self.values.get(name)
        if not isinstance(value, str) or not value.strip():
            raise Unscored(f"argument {name} is missing or no text: {value!r}")
        return value

    def texts(self, name: str) -> list[str]:
        """Return a list of texts."""
        value = self.values.get(name)
        if not isinstance(value, list | tuple) or not value:
            raise Unscored(f"argument {name} is missing or no list: {value!r}")
        return [str(text) for text in value]

    def holds(self, found: int, count: str, relation: str = "relation") -> bool:
        """Return whether `found` is "less than" or "at least" the argument `count`."""
        kind = self.text(relation)
        if kind not in RELATIONS:
            raise Unscored(f"argument {relation} must be one of {RELATIONS}, not {kind!r}")
        wanted = self.count(count)
        return found < wanted if kind == "less than" else found >= wanted


@dataclass(frozen=True)
class Instruction:
    """A kind of instruction."""

    check: Callable[[str, Arguments], bool]
    """Returns whether a response follows it. Raises Unscored."""
    takes: tuple[str, ...] = ()
    """Names of its arguments."""
