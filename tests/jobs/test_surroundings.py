"""Disks, limits, permissions and locales: one line with the remedy, and names that stay right."""

from __future__ import annotations

import errno
import json
import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.support import ROOT
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.execution.faults import DiskFull, fault_of_surroundings
from wavemill.pipeline.scratch import LONGEST, scratch_folder
from wavemill.pipeline.store import Store

RECORDING = ROOT / "examples" / "recordings" / "clean_dialogue.flac"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    samples, rate = soundfile.read(RECORDING)
    soundfile.write(folder / "Müller 語.wav", samples[: 4 * rate], rate)
    return folder


def wavemill(*arguments: object, limit: int | None = None, **environment: str) -> tuple[int, str]:
    """Return exit code and standard error; `limit`: bytes that a file may have."""
    done = subprocess.run(
        [sys.executable, "-m", "wavemill.jobs.cli", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=280,
        preexec_fn=None
        if limit is None
        else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    return done.returncode, done.stderr


def test_names_are_utf8_whatever_the_locale(source: Path, tmp_path: Path) -> None:
    # With these, Python holds names for ASCII, as it does for Latin-1 where there is such a locale.
    other = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = ("curate", source, "--out", tmp_path, "--executor", "inline")
    assert wavemill(*command, **other) == (0, "")
    table = pq.read_table(tmp_path / "corpus" / "recordings.parquet")
    assert table["uri"].to_pylist() == [f"{source}/Müller 語.wav"]
    assert wavemill("show", tmp_path, "Müller 語.wav", **other) == (0, "")
    assert wavemill("report", tmp_path, PYTHONIOENCODING="ascii") == (0, "")


def test_a_limit_is_one_line_and_the_next_run_goes_on(source: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "labelled.jsonl"  # what has its text needs no recogniser
    (audio,) = source.iterdir()
    line = {"audio_filepath": str(audio), "text": "hello"}
    manifest.write_text(json.dumps(line) + "\n", encoding="utf-8")
    command = ("curate", manifest, "--out", tmp_path / "work", "--executor", "inline")
    code, errors = wavemill(*command, limit=20_000)
    assert code == 2
    assert errors.count("\n") == 1
    assert "ulimit -f" in errors
    assert wavemill(*command) == (0, "")
    code, errors = wavemill("report", tmp_path / "work", limit=20_000)
    assert (code, errors.count("\n")) == (2, 1)
    assert not list(tmp_path.rglob(".*.tmp"))


def test_a_workdir_that_cannot_be_is_one_line(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    code, errors = wavemill("curate", source, "--out", tmp_path / "file" / "work")
    assert (code, errors.count("\n")) == (2, 1)
    assert "file" in errors


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_what_only_reads_works_without_the_permission_to_write(
    source: Path, tmp_path: Path
) -> None:
    command = ("curate", source, "--out", tmp_path / "work", "--executor", "inline")
    assert wavemill(*command) == (0, "")
    folders = [p for p in (tmp_path / "work").rglob("*") if p.is_dir()] + [tmp_path / "work"]
    for folder in folders:
        folder.chmod(0o555)
    try:
        for name in ("show", "snapshots", "verify"):
            arguments = (tmp_path / "work", *(["Müller 語.wav"] if name == "show" else []))
            assert wavemill(name, *arguments) == (0, "")
        for writing in (command, ("report", tmp_path / "work")):
            code, errors = wavemill(*writing)
            assert (code, errors.count("\n")) == (2, 1)
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_errors_of_a_disk_are_told_with_what_they_are_of(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        pytest.raises(OSError, match="No space") as caught,
        Store(str(tmp_path)).replacing("a/b.parquet"),
    ):
        raise full
    told = fault_of_surroundings(pickle.loads(pickle.dumps(caught.value)))
    assert isinstance(told, DiskFull)
    assert f"{tmp_path}/a/b.parquet" in str(told)
    read_only = fault_of_surroundings(OSError(errno.EROFS, "Read-only file system", "/w/x"))
    assert str(read_only).startswith("/w/x: Read-only file system; ")
    text = 'IO Error: Cannot open file "/w/q": Read-only file system'
    assert "/w/q" in str(fault_of_surroundings(duckdb.IOException(text)))
    assert fault_of_surroundings(duckdb.IOException("IO Error: of another kind")) is None
    assert fault_of_surroundings(FileNotFoundError(errno.ENOENT, "no", "x")) is None
    assert fault_of_surroundings(ValueError("x")) is None


def test_scratch_is_short_and_plain_wherever_tmpdir_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a" * 90, "with space", "what?", "missing"):
        place = tmp_path / name
        if name != "missing":
            place.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(place))
        with scratch_folder() as folder:
            assert len(os.fsencode(folder)) <= LONGEST
            (folder / "x").write_text("", encoding="utf-8")
        assert not folder.exists()


def test_no_scratch_at_all_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavemill.pipeline.scratch.LONGEST", 0)
    with pytest.raises(ConfigError, match="TMPDIR"), scratch_folder():
        pass
