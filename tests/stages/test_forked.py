"""Functions in a copy of the process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from wavemill.stages.forked import ATTEMPTS, ForkDied, in_fork

SEEN: list[int] = []


def remember(value: int) -> list[int]:
    SEEN.append(value)
    return SEEN


def fail(message: str) -> None:
    raise ZeroDivisionError(message)


def die(log: Path, times: int) -> int:
    """Die as by a crash, `times` times; then return how often it was called."""
    with log.open("a", encoding="utf-8") as file:
        file.write("called\n")
    calls = len(log.read_text(encoding="utf-8").splitlines())
    if calls <= times:
        os.kill(os.getpid(), signal.SIGSEGV)
    return calls


def test_nothing_is_remembered() -> None:
    assert in_fork(remember, 1) == [1]
    assert in_fork(remember, 2) == [2]
    assert SEEN == []


def test_large_results_come_back_whole() -> None:
    assert in_fork(bytes, 10_000_000) == bytes(10_000_000)


def test_what_it_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError, match="by nothing"):
        in_fork(fail, "by nothing")


def test_one_death_is_no_verdict(tmp_path: Path) -> None:
    assert in_fork(die, tmp_path / "log", 1) == 2


def test_a_copy_that_always_dies(tmp_path: Path) -> None:
    with pytest.raises(ForkDied, match=r"die ended with status -11"):
        in_fork(die, tmp_path / "log", ATTEMPTS)


def test_copies_leave_no_process_behind() -> None:
    before = len(psutil.Process().children())
    in_fork(time.sleep, 0.01)
    assert len(psutil.Process().children()) == before
