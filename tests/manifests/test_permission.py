"""What another user may not read (root may read everything, so this runs as uid 65534)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.manifests.support import write_lines, write_wav
from tests.support import ROOT

NOBODY = 65534

# Modules are imported before the uid changes: the project itself may be unreadable after.
SCRIPT = """
import json, os, sys
from pathlib import Path
from wavemill.manifests.cache import HashCache
from wavemill.pipeline.store import Store
from tests.manifests.support import scan
os.setgid(65534); os.setuid(65534)
sources, cache_path = json.loads(sys.argv[1]), Path(sys.argv[2])
found = scan(*sources, cache=HashCache.load(Store.open(cache_path.parent), cache_path.name))
print(json.dumps([[r.uri for r in found.recordings],
                  [[e.source, str(e.reason), e.message] for e in found.errors], found.notes]))
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that others may enter (pytest's tmp_path is private to its user)."""
    folder = Path(tempfile.mkdtemp(prefix="wavemill-permission-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def scan_as_nobody(
    *sources: Path | str, cache: Path
) -> tuple[list[str], list[list[str]], list[str]]:
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    arguments = [json.dumps([str(s) for s in sources]), str(cache)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=ROOT, capture_output=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    recordings, errors, notes = json.loads(done.stdout)
    return recordings, errors, notes


def test_unreadable_files_folders_and_manifests(shared: Path) -> None:
    good = write_wav(shared / "in" / "good.wav")
    locked = Path(write_wav(shared / "in" / "locked.wav", value=2))
    closed = shared / "in" / "closed"
    write_wav(closed / "x.wav", value=3)
    manifest = Path(write_lines(shared / "m.jsonl", [{"audio": "in/good.wav", "text": "a"}]))
    reaching = write_lines(shared / "n.jsonl", [{"audio": "in/closed/x.wav", "text": "a"}])
    for path in (locked, closed, manifest):
        path.chmod(0)
    cache = shared / "hash-cache.parquet"  # this user may not write it
    recordings, errors, notes = scan_as_nobody(shared / "in", manifest, reaching, cache=cache)
    assert recordings == [good]
    assert {(uri, reason) for uri, reason, _ in errors} == {
        (str(locked), "permission_denied"),
        (str(closed), "permission_denied"),
        (str(manifest), "permission_denied"),
        (f"{reaching}:1", "permission_denied"),
    }
    assert all("permission" in message for _, _, message in errors)
    assert any("hash cache could not be written" in note for note in notes)


def test_permission_is_not_remembered(shared: Path) -> None:
    path = Path(write_wav(shared / "in" / "x.wav"))
    (shared / "work").mkdir()
    (shared / "work").chmod(0o777)
    cache = shared / "work" / "hash-cache.parquet"
    path.chmod(0)
    recordings, errors, _ = scan_as_nobody(shared / "in", cache=cache)
    assert recordings == []
    assert errors[0][1] == "permission_denied"
    path.chmod(0o644)  # changes neither size nor mtime
    recordings, errors, _ = scan_as_nobody(shared / "in", cache=cache)
    assert recordings == [str(path)]
    assert errors == []
