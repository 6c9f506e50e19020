"""wavemill report: totals, conservation, and the questions of the README."""

from __future__ import annotations

import json
import re
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from tests.pipeline.quality.support import Shard, error_of, recording, write_workdir
from tests.support import ROOT, audio_folder
from wavemill.jobs.cli import app

MINUTE = 60_000


@pytest.fixture
def shard() -> Shard:
    shard, rec = Shard(), recording(1, 10 * MINUTE)
    shard.recordings.append(rec)
    shard.decode(rec)
    shard.segment(rec, 0, 4 * MINUTE)
    shard.segment(rec, 3 * MINUTE, 5 * MINUTE, ["low_snr", "empty_text"], text="")
    return shard


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "120"})
    return result.exit_code, result.output


def test_the_classes_add_up(tmp_path: Path, shard: Shard) -> None:
    failed = recording(2, 2 * MINUTE)
    shard.recordings.append(failed)
    write_workdir(tmp_path, [shard], [error_of(failed, "decode")])
    code, output = run("report", str(tmp_path))
    assert code == 0
    cells = re.findall(r"│ +(\S[^│]*?) +│ +([\d:.]+) min │ +([\d.]+)% │", output)
    assert cells == [
        ("input", "12:00.0", "100.0"),
        ("kept", "4:00.0", "33.3"),
        ("rejected: low_snr", "1:00.0", "8.3"),
        ("non-speech", "5:00.0", "41.7"),
        ("errors", "2:00.0", "16.7"),
    ]
    assert "1 in decode: went_wrong" in output
    assert str(tmp_path / "quality.duckdb") in output


def test_what_is_not_accounted_for_fails_loudly(tmp_path: Path, shard: Shard) -> None:
    del shard.rows["decode"][1]  # the second minute, under a kept segment
    del shard.rows["decode"][-1]  # the last minute
    del shard.rows["decode"][-3]  # one in which nobody speaks
    write_workdir(tmp_path, [shard])
    code, output = run("report", str(tmp_path))
    assert code == 1
    (rec,) = shard.recordings
    assert f"{rec.uri} ({rec.recording_id}) does not add up: -60,000 ms" in output
    assert f"{rec.uri} ({rec.recording_id}) decoded too short: -60,000 ms" in output


def test_names_from_the_wild_are_only_shown(tmp_path: Path) -> None:
    name = "/audio/[bold]<script>\x1b[31m\u202e.flac"
    lost = recording(1, uri=name)
    write_workdir(tmp_path, [Shard(recordings=[lost])])
    code, output = run("report", str(tmp_path))
    assert code == 1
    assert "/audio/[bold]<script>\ufffd[31m\ufffd.flac" in output


def test_the_questions_of_the_readme_have_answers(tmp_path: Path, shard: Shard) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"\n## What is in the corpus\n(.*?)(?=\n## )", text, re.DOTALL)
    queries = [
        q
        for block in re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
        for q in block.split(";")
        if q.strip()
    ]
    assert len(queries) == 6
    write_workdir(tmp_path, [shard])
    assert run("report", str(tmp_path))[0] == 0
    with duckdb.connect(tmp_path / "quality.duckdb", read_only=True) as database:
        for query in queries:
            assert database.execute(query).fetchall(), query


def test_real_recordings_are_accounted_for(tmp_path: Path) -> None:
    """Containers that promise a little more, tracks of a call, regions, items that overlap."""
    audio = audio_folder()
    manifest = tmp_path / "manifest.jsonl"
    lines: list[dict[str, object]] = [
        {"audio_filepath": "read/jfk.flac", "offset": 1.0, "duration": 4.5},
        {"audio_filepath": "read/jfk.flac", "offset": 7.75, "duration": 3.0},
    ]
    for offset, text in ((0.0, "one"), (1.0, "two")):
        line = {"audio_filepath": "noise/noise2.wav", "offset": offset, "duration": 2.0}
        lines.append({**line, "text": text})
    for line in lines:
        line["audio_filepath"] = str(audio / str(line["audio_filepath"]))
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    names = ("stereo.mp3", "stereo.opus", "mono_c0.opus", "stereo.sph")
    sources = [*(str(audio / "formats" / name) for name in names), str(manifest)]
    options = ["--executor", "inline", "--set", "decode.channels=split"]
    assert run("curate", *sources, "--out", str(tmp_path / "work"), *options)[0] == 0
    code, output = run("report", str(tmp_path / "work"))
    assert code == 0, output
    with duckdb.connect(tmp_path / "work/quality.duckdb", read_only=True) as database:
        sums = (
            "count(*), max(abs(difference_ms)), sum(unused_ms), max(abs(stated_ms - duration_ms))"
        )
        ((recordings, difference, unused, stated),) = database.execute(
            f"select {sums} from accounting"
        ).fetchall()
    assert recordings == 6
    assert difference <= 1
    assert unused == 3500 + 2000
    assert stated <= 1  # lengths are counted, not believed
