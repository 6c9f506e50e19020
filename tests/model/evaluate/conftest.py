"""Prints the table of stored scoring cases after the tests."""

from __future__ import annotations

from typing import Any

from tests.model.evaluate import conformance


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if conformance.TABLE.rows:
        terminalreporter.section("conformance of scoring")
        for line in conformance.TABLE.lines():
            terminalreporter.write_line(line)
