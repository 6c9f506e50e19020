"""Files of other projects' wheels: found, checked, and their packages never imported."""

from __future__ import annotations

import base64
import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from wavemill.stages.bundled import BundledFile
from wavemill.stages.engine import EngineUnavailable

CONTENT = b"weights"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BundledFile:
    package = tmp_path / "some_weights"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")
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


def test_the_states_of_a_file(file: BundledFile) -> None:
    path = file.located()
    (one,) = file.files()
    assert one.state(hashed=True) == "present"
    path.write_bytes(CONTENT.upper())
    assert (one.state(hashed=False), one.state(hashed=True)) == ("present", "changed")
    path.unlink()
    (one,) = file.files()
    assert one.state(hashed=True) == "missing"
    assert one.remedy == "pip install --force-reinstall some-weights"


def test_a_content_that_the_wheel_records(file: BundledFile, tmp_path: Path) -> None:
    digest = base64.urlsafe_b64encode(hashlib.sha256(CONTENT).digest()).rstrip(b"=").decode()
    info = tmp_path / "some_weights-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: some-weights\nVersion: 1.5\n", encoding="utf-8"
    )
    (info / "RECORD").write_text(
        f"some_weights/data/model.bin,sha256={digest},7\n", encoding="utf-8"
    )
    (one,) = replace(file, sha256="").files()
    assert (one.origin, one.sha256) == ("wheel some-weights 1.5", file.sha256)
