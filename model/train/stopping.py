"""Asking a training to stop: a file in its folder, which the first worker looks for at each step.

Workers may be in other processes and on other machines, but all of them see the folder.
"""

from __future__ import annotations

from pathlib import Path

FILE = "stop"


def ask(run: Path) -> None:
    """Have the training stop behind the step that it is at, with a checkpoint."""
    (run / FILE).touch()


def asked(run: Path) -> bool:
    return (run / FILE).exists()


def forget(run: Path) -> None:
    (run / FILE).unlink(missing_ok=True)
