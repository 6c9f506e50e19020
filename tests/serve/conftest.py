"""One server for all tests of a process: a tiny model with random weights, on a free port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("openai")  # the tests also run without the extra `serve`

from wavemill.model.blocks import prepare_transformers
from wavemill.model.creation import create
from wavemill.serve.config import ServeConfig
from wavemill.serve.running import checked_port, in_process

prepare_transformers()
TOKENS = 24  # of a reply


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "tiny"
    create(folder, "tiny")
    return folder


@pytest.fixture(scope="session")
def port(model: Path) -> Iterator[int]:
    config = ServeConfig.model_validate(
        {
            "model": str(model),
            "port": 0,
            "answers": {"most_tokens": TOKENS},
            "limits": {"event_bytes": 1 << 20, "body_bytes": 1 << 20, "turn_seconds": 10},
        }
    )
    port = checked_port(config)
    with in_process(config, port):
        yield port
