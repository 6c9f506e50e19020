"""Fixtures that tests of several packages share."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

# `make test` has a process for each core: more threads would only wait for one another. To be
# set before what starts them is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

from tests.object_store import ObjectStore, running_object_store


def pytest_configure() -> None:
    """Heed Ctrl-C even as a shell's background job, so that the programs under test do.

    Raises UsageError where Python cannot name all files of the tests.
    """
    if sys.getfilesystemencoding() != "utf-8":
        raise pytest.UsageError("tests name files in the world's languages; remedy: PYTHONUTF8=1")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # No test loses power: nothing need be on the disk, where each file waits for milliseconds.
    os.fsync = lambda fd: None  # noqa: ARG005 (the name of the argument is os.fsync's)
    # How long an example takes, or its making, says how busy the machine is.
    slow = [HealthCheck.too_slow]
    settings.register_profile("any_machine", deadline=None, suppress_health_check=slow)
    settings.load_profile("any_machine")


# What takes longest is begun first, so that no process is left with it at the end.
LONGEST = (
    "tests/faults/",
    "tests/jobs/test_cluster.py",
    "tests/serve/test_on_ray.py",
    "tests/pipeline/execution/test_on_ray.py",
    "tests/pipeline/test_curation.py",
    "tests/test_documents.py",
    "tests/jobs/test_train_stopped.py",
    "tests/test_import_names.py",
    "tests/pipeline/execution/test_supervisor.py",
    "tests/jobs/test_odd_workdirs.py",
    "tests/jobs/test_train.py",
    "tests/jobs/test_upkeep.py",
    "tests/jobs/test_report_in_browser.py",
    "tests/pipeline/upkeep/",
    "tests/pipeline/quality/",
    "tests/jobs/",
    "tests/pipeline/",
    "tests/stages/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        found = (i for i, start in enumerate(LONGEST) if item.nodeid.startswith(start))
        return next(found, len(LONGEST))

    items.sort(key=place)  # stable: all else stays as it was


# Modules with a `TABLE` that is printed after the tests, and its title.
TABLES = {
    "tests.model.conformance": "conformance",
    "tests.model.evaluate.conformance": "conformance of scoring",
}
_lines: dict[str, list[str]] = {title: [] for title in TABLES.values()}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Take the lines of the tables, and send them to the process that prints."""
    for module, title in TABLES.items():
        if module in sys.modules and sys.modules[module].TABLE.rows:
            _lines[title] = sys.modules[module].TABLE.lines()
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tables"] = _lines


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the lines of a process that has ended; the first of them names the columns."""
    for title, lines in getattr(node, "workeroutput", {}).get("tables", {}).items():
        _lines[title] += lines[1:] if _lines[title] else lines


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for title, lines in _lines.items():
        if lines:
            terminalreporter.section(title)
            for line in lines:
                terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def _object_store() -> Iterator[ObjectStore]:
    with running_object_store() as store:
        yield store


@pytest.fixture
def s3(_object_store: ObjectStore) -> ObjectStore:
    """An S3 server with one empty bucket."""
    _object_store.empty()
    return _object_store
