"""Files that are replaced between the scan and the work of a build: a row, and no wrong audio."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from click.testing import Result
from typer.testing import CliRunner

from tests.manifests.support import write_tar
from wavemill.jobs.cli import app
from wavemill.pipeline import build

RATE = 16_000
INLINE = ("--executor", "inline")


def noise(path: Path, seed: int, seconds: float = 1.0) -> Path:
    """Write something with the spectrum of nothing in particular, loud enough to be heard."""
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    soundfile.write(path, samples, RATE)
    return path


def identity(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def wavemill(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def after_scan(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Have something happen once, when the next build has scanned its sources."""

    def arrange(change: Callable[[], object]) -> None:
        inner = build.check_engines

        def between(plan: Any) -> None:
            monkeypatch.setattr(build, "check_engines", inner)
            change()
            inner(plan)

        monkeypatch.setattr(build, "check_engines", between)

    return arrange


def errors(out: Path) -> list[tuple[str, str]]:
    rows = pq.read_table(out / "corpus/errors.parquet").to_pylist()
    return [(Path(row["uri"]).name, row["reason"]) for row in rows]


def worked_on(out: Path) -> set[str]:
    """Return the recordings of which any stage has stored rows."""
    found: set[str] = set()
    for path in (out / "stages").rglob("*.parquet"):
        if not path.name.endswith(".errors.parquet"):
            found.update(pq.read_table(path, columns=["recording_id"])["recording_id"].to_pylist())
    return found


def set_times(path: Path, like: os.stat_result) -> None:
    os.utime(path, ns=(like.st_atime_ns, like.st_mtime_ns))


@pytest.mark.parametrize(("back", "times"), [("stays", "old times"), ("put back", "new times")])
def test_a_raw_recording(
    tmp_path: Path, after_scan: Callable[[Callable[[], object]], None], back: str, times: str
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    noise(folder / "same.wav", 1)
    path = noise(folder / "one.wav", 2)
    before, old, content = path.stat(), identity(path), path.read_bytes()

    def replace() -> None:
        noise(path, 3)
        if times == "old times":
            set_times(path, before)

    after_scan(replace)
    wavemill("curate", folder, "--out", out, *INLINE)
    assert errors(out) == [("one.wav", "source_changed")]
    assert old not in worked_on(out)
    if back == "put back":
        path.write_bytes(content)
        set_times(path, before)
    wavemill("refresh", out, *INLINE)
    assert errors(out) == []
    assert worked_on(out) == {identity(folder / "same.wav"), identity(path)}
    assert "nothing to do" in wavemill("refresh", out, *INLINE).output
    assert wavemill("verify", out).exit_code == 0


def test_a_file_that_is_away_for_a_moment(
    tmp_path: Path, after_scan: Callable[[Callable[[], object]], None]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    path = noise(folder / "one.wav", 5)  # which this process does not hold in memory
    after_scan(lambda: path.rename(tmp_path / "away"))
    wavemill("curate", folder, "--out", out, *INLINE, code=1)
    assert errors(out) == [("one.wav", "file_missing")]
    (tmp_path / "away").rename(path)
    wavemill("curate", folder, "--out", out, *INLINE)
    assert errors(out) == []
    assert worked_on(out) == {identity(path)}


def test_labelled_clips_of_a_manifest_and_of_a_shard(
    tmp_path: Path, after_scan: Callable[[Callable[[], object]], None]
) -> None:
    out = tmp_path / "out"
    path = noise(tmp_path / "clip.wav", 2)
    lines = [{"audio": "clip.wav", "text": "some words"}]
    (tmp_path / "m.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8"
    )
    members = {f"{i}.wav": noise(tmp_path / "member.wav", 10 + i).read_bytes() for i in range(2)}
    shard = Path(write_tar(tmp_path / "s.tar", members | {"0.txt": b"a word", "1.txt": b"a word"}))
    sources = (tmp_path / "m.jsonl", shard)

    def replace() -> None:
        noise(path, 3)
        other = noise(tmp_path / "member.wav", 20).read_bytes()
        write_tar(shard, members | {"1.wav": other, "0.txt": b"a word", "1.txt": b"a word"})

    after_scan(replace)
    wavemill("curate", *sources, "--out", out, *INLINE)
    assert errors(out) == [("clip.wav", "source_changed"), ("s.tar#1.wav", "source_changed")]
    first = hashlib.sha256(members["0.wav"]).hexdigest()[:32]
    scored = {
        recording_id
        for file in (out / "stages/score_audio").rglob("*.parquet")
        for recording_id in pq.read_table(file)["recording_id"].to_pylist()
        if not file.name.endswith(".errors.parquet")
    }
    assert scored == {first}
    wavemill("curate", *sources, "--out", out, *INLINE)
    assert errors(out) == []
