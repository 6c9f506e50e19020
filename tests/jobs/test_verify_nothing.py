"""`wavemill verify` of a folder in which nothing was built."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from wavemill.jobs.cli import app
from wavemill.pipeline.config import ConfigError


@pytest.mark.parametrize("options", [[], ["--repair"]])
def test_an_empty_folder_is_no_sound_workdir(options: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["verify", str(tmp_path), *options])
    assert isinstance(result.exception, ConfigError)  # one line, exit code 2
    assert str(result.exception).startswith(f"{tmp_path} holds nothing to check; ")
    assert "0 files" not in result.output
