"""Files at addresses and files of one's own; the hub is in tests/jobs/test_weights.py."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from wavemill.stages.declared import LocalFiles, WebFile
from wavemill.stages.engine import EngineUnavailable

CONTENT = b"weights"


@pytest.fixture
def file(tmp_path: Path) -> WebFile:
    """A file whose address is that of another file."""
    source = tmp_path / "source.pt"
    source.write_bytes(CONTENT)
    digits = hashlib.sha256(CONTENT).hexdigest()[:8]
    return WebFile(source.as_uri(), tmp_path / "cache" / "model.pt", digits)


def test_a_file_is_fetched_to_its_place(file: WebFile) -> None:
    assert [one.state(hashed=False) for one in file.files()] == ["missing"]
    assert file.fetch(None) == file.path
    assert [one.state(hashed=True) for one in file.files()] == ["present"]
    file.path.write_bytes(b"WEIGHTS")
    (one,) = file.files()
    assert (one.state(hashed=False), one.state(hashed=True)) == ("present", "changed")
    assert file.fetch(None).read_bytes() == CONTENT


def test_a_file_is_fetched_into_a_folder(file: WebFile, tmp_path: Path) -> None:
    assert file.fetch(tmp_path / "out") == tmp_path / "out" / "model.pt"
    assert not file.path.exists()


def test_another_content_is_not_kept(file: WebFile, tmp_path: Path) -> None:
    (tmp_path / "source.pt").write_bytes(b"an error page")
    with pytest.raises(EngineUnavailable, match="has another content"):
        file.fetch(None)
    assert list(file.path.parent.iterdir()) == []


def test_an_address_that_cannot_be_read(file: WebFile, tmp_path: Path) -> None:
    (tmp_path / "source.pt").unlink()
    with pytest.raises(EngineUnavailable, match="cannot be fetched"):
        file.fetch(None)


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    found = LocalFiles(tmp_path, "model", ("config.json", "model.bin")).files()
    assert [one.state(hashed=True) for one in found] == ["present", "missing"]
    (one,) = LocalFiles(tmp_path / "config.json", "model").files()
    assert (one.name, one.origin) == ("config.json", str(tmp_path))
