"""Hashing files of weights once, and asking whether one could be fetched."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from wavemill.stages.weights import check_download, sha256_of_file


def test_a_file_is_read_again_only_when_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    read: list[str] = []
    digest = hashlib.file_digest

    def counted(file: Any, name: str) -> Any:
        read.append(name)
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    assert sha256_of_file(path) == sha256_of_file(path) == hashlib.sha256(b"one").hexdigest()
    assert len(read) == 1
    path.write_bytes(b"two")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert sha256_of_file(path) == hashlib.sha256(b"two").hexdigest()


def test_a_file_that_can_be_had_and_one_that_cannot(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.touch()
    check_download(path.as_uri())
    with pytest.raises(OSError, match="gone"):
        check_download((tmp_path / "gone").as_uri())
