"""Faults of the program or its installation, in contrast to faults of recordings."""

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
AT_END = 2  # files: a single error may be due to the file
EARLY = 100  # files after which the run is ended at once


class ProgramFault(Exception):
    """All recordings failed by the same fault of the program or its installation."""


def fault_of(error: BaseException) -> str | None:
    """Return type, message and place of an error of the program; None for any other error.

    A TypeError or an ImportError, for example, means that a library is missing or is called in a
    way that it does not support.
    """
    if not isinstance(error, _KINDS):
        return None
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


@dataclass
class FaultWatch:
    """Distinguishes faults of single files from a fault that occurs for all of them."""

    doing: str  # what is done with the files, for example "opening"
    faults: dict[str, int] = field(default_factory=dict)  # fault -> number of files
    others: int = 0  # files without such a fault

    def add(self, fault: str | None, files: int = 1) -> None:
        """Count `files` files with the same `fault` (from `fault_of`; None: without one).

        Raises ProgramFault if many files failed by one fault and none passed.
        """
        if fault is None:
            self.others += files
        else:
            self.faults[fault] = self.faults.get(fault, 0) + files
            self._check(EARLY)

    def end(self) -> None:
        """Raise ProgramFault if all files, and more than one, failed by the same fault."""
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
