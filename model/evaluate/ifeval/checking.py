"""Whether a response follows an instruction, strictly and loosely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wavemill.model.evaluate.ifeval.instruction import Arguments, Unscored
from wavemill.model.evaluate.ifeval.shape import SHAPE
from wavemill.model.evaluate.ifeval.wording import WORDING
from wavemill.model.evaluate.scoring import Mode

INSTRUCTIONS = {**WORDING, **SHAPE}


@dataclass(frozen=True)
class Followed:
    """What one instruction got; None and a note where it cannot be checked."""

    strict: bool | None
    loose: bool | None
    note: str = ""


def relaxed(response: str) -> list[str]:
    """Return the eight texts of which one must follow in the loose sense.

    The response, without its first line, its last or both, and each without asterisks.
    """
    lines = response.split("\n")
    kept = [response, *("\n".join(p).strip() for p in (lines[1:], lines[:-1], lines[1:-1]))]
    return kept + [text.replace("*", "") for text in kept]


def followed(
    response: str, instruction_id: str, arguments: Mapping[str, Any], mode: Mode = "default"
) -> Followed:
    """Check one instruction; an empty response follows none. Arguments of None do not count.

    Source: ifeval/single_instruction_cases.json.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    told = Arguments(given, mode)
    try:
        instruction = INSTRUCTIONS.get(instruction_id)
        if instruction is None:
            raise Unscored(f"instruction {instruction_id!r} is not known")
        if mode == "compat" and (odd := given.keys() - set(instruction.takes)):
            raise Unscored(f"arguments that the instruction does not take: {sorted(odd)}")
        check = instruction.check
        strict = check(response, told) and bool(response.strip())
        loose = any(bool(text.strip()) and check(text, told) for text in relaxed(response))
    except Unscored as reason:
        return Followed(None, None, str(reason))
    return Followed(strict, loose)
