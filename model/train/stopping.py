"""A request to stop a training: a file in its folder, which the first worker checks each step.

Workers may be in other processes and on other machines, but all of them see the folder.
"""

from __future__ import annotations

from pathlib import Path

FILE = "stop"


def ask(run: Path) -> None:
    """Let the training stop after its current step, with a checkpoint."""
    (run / FILE).touch()


def asked(run: Path) -> bool:
    return (run / FILE).exists()


def forget(run: Path) -> None:
    (run / FILE).unlink(missing_ok=True)
