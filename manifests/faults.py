"""Faults of the program or its installation, which no recording is to blame for."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field

_KINDS = (
    AssertionError,
    AttributeError,
    ImportError,
    NameError,
    NotImplementedError,
    SyntaxError,
    TypeError,
)
AT_END = 2  # files: one such error may be a strange file
EARLY = 100  # files after which it is not worth going on to the end


class ProgramFault(Exception):
    """Everything that was tried failed by the same fault of the program or its installation."""


def fault_of(error: BaseException) -> str | None:
    """Return kind, message and place of an error that points at the program, else None.

    A TypeError, an ImportError and the like come of calling a library in a way that it does not
    know, or of a part that is missing.
    """
    if not isinstance(error, _KINDS):
        return None
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


@dataclass
class FaultWatch:
    """Tells a strange file from a fault that everything meets."""

    doing: str  # what was done with the files, e.g. "opening"
    faults: dict[str, int] = field(default_factory=dict)  # how many files failed so
    others: int = 0  # files that fared otherwise

    def add(self, fault: str | None, files: int = 1) -> None:
        """Note how `files` files fared: by `fault_of` what they failed by, or None.

        Raises ProgramFault where many failed by the very same fault and none got past it.
        """
        if fault is None:
            self.others += files
        else:
            self.faults[fault] = self.faults.get(fault, 0) + files
            self._check(EARLY)

    def end(self) -> None:
        """Raise ProgramFault where all files, and more than one, failed by the very same fault."""
        self._check(AT_END)

    def _check(self, least: int) -> None:
        if self.others or len(self.faults) != 1:
            return
        ((fault, files),) = self.faults.items()
        if files >= least:
            raise ProgramFault(
                f"{self.doing} failed for all of {files} recordings in the same way, so it is a "
                f"fault of the program or its installation and not theirs: {fault}. Remedy: "
                "install the versions that were tried (the folder constraints/), or report it"
            )
