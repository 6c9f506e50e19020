"""The section `sources` of the configuration reaches the scan."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.manifests.support import write_lines, write_wav
from wavemill.pipeline.build import prepare
from wavemill.pipeline.config import load_config
from wavemill.pipeline.curation import Config, result_config


@pytest.mark.parametrize(
    ("overrides", "reasons"),
    [
        ([], ["beyond_end", "source_not_allowed"]),
        (["sources.end_tolerance_ms=2000", "sources.allow=[memory]"], ["file_missing"]),
    ],
)
def test_settings_of_a_scan(tmp_path: Path, overrides: list[str], reasons: list[str]) -> None:
    write_wav(tmp_path / "a.wav", 2000)
    lines = [
        {"audio": "a.wav", "text": "x", "duration": 3},
        {"audio": "memory://nowhere/a.wav", "text": "y"},
    ]
    manifest = write_lines(tmp_path / "m.jsonl", lines)
    config = load_config(Config, overrides=overrides)
    found = prepare([manifest], str(tmp_path / "work"), config).sources
    assert [str(error.reason) for error in found.errors] == reasons


def test_they_are_no_part_of_what_names_a_snapshot() -> None:
    """A WORKDIR of a version without them has nothing to do."""
    assert "sources" not in result_config(Config())
