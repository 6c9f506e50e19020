"""Fixtures that tests of several packages share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.object_store import ObjectStore, running_object_store


def pytest_configure() -> None:
    """Heed Ctrl-C even as a shell's background job, so that the programs under test do."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # How long an example takes says how busy the machine is.
    settings.register_profile("any_machine", deadline=None)
    settings.load_profile("any_machine")


@pytest.fixture(scope="session")
def _object_store() -> Iterator[ObjectStore]:
    with running_object_store() as store:
        yield store


@pytest.fixture
def s3(_object_store: ObjectStore) -> ObjectStore:
    """An S3 server with one empty bucket."""
    _object_store.empty()
    return _object_store
