"""Prints the conformance table after the tests."""

from __future__ import annotations

from typing import Any

import wavemill.model.blocks  # noqa: F401  (before transformers itself)
from tests.model import conformance


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if conformance.TABLE.rows:
        terminalreporter.section("conformance")
        for line in conformance.TABLE.lines():
            terminalreporter.write_line(line)
