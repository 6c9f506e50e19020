"""Prints the conformance table after the tests."""

from __future__ import annotations

from typing import Any

import torch

import wavemill.model.blocks  # noqa: F401  (before transformers itself)
from tests.model import conformance

# As the commands compute; several threads wait for each other where other programs run.
torch.set_num_threads(1)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if conformance.TABLE.rows:
        terminalreporter.section("conformance")
        for line in conformance.TABLE.lines():
            terminalreporter.write_line(line)
