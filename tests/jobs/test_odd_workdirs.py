"""WORKDIRs below folders whose names mean something to DuckDB, rich or a URL parser."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from tests.pipeline.quality.support import Shard, error_of, recording, write_workdir
from wavemill.jobs.cli import app
from wavemill.pipeline.quality.database import create_views, newest_snapshot
from wavemill.pipeline.store import Store

NAMES = (
    "language=multi",
    "stage=raw/source=web/reason=ok",
    "speaker=7/start_ms=abc/shard_id=x",
    "corpus [v2]",
    "what*now?",
    "[!a]",
    "it's 100% #1",
    "a%20b",
    "[red]x[/red]",
    "new\nline",
    "back\\slash",
    "back\\slash [1]",
    "Größe 語",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A build with a kept segment and an error, and another one."""
    folder = tmp_path_factory.mktemp("built")
    _build(folder / "work", "kept")
    _build(folder / "other", "of another folder")
    return folder / "work", folder / "other"


@pytest.fixture(params=NAMES)
def work(request: pytest.FixtureRequest, built: tuple[Path, Path], tmp_path: Path) -> Path:
    """A build below a folder with such a name, and others that a pattern would match."""
    work = tmp_path / str(request.param) / "work"
    shutil.copytree(built[0], work)
    for other in ("corpus v", "what is now!", "b", "back"):
        shutil.copytree(built[1], tmp_path / other / "work")
    return work


def _build(work: Path, text: str) -> None:
    shard, rec, failed = Shard(), recording(1, 4000), recording(2, 1000)
    shard.recordings = [rec, failed]
    shard.decode(rec)
    shard.segment(rec, 0, 4000, text=text)
    write_workdir(work, [shard], [error_of(failed, "decode")])


def test_every_reader_works_as_anywhere_else(work: Path) -> None:
    code, output = run("report", work)
    assert code == 0
    assert shown(f"{work}/quality.duckdb") in output
    assert (work / "report/index.html").is_file()
    if "\\" not in str(work):  # which DuckDB takes for a slash in the name of a database
        with duckdb.connect(str(work / "quality.duckdb"), read_only=True) as database:
            assert database.sql("select text from segments").fetchall() == [("kept",)]
    code, output = run("show", work, "1.flac")
    assert code == 0
    assert "kept" in output
    assert "of another" not in output
    assert run("snapshots", work)[0] == 0


def test_no_column_comes_from_the_name_of_a_folder(work: Path) -> None:
    store = Store.open(work)
    with duckdb.connect() as database:
        create_views(database, store, newest_snapshot(store), "0")
        segments = database.sql("select speaker, language, start_ms, text, kept from segments")
        assert segments.fetchall() == [("S00", "en", 0, "kept", True)]
        errors = database.sql("select stage, source, reason from errors").fetchall()
        assert errors == [("decode", "/audio/set/2.flac", "went_wrong")]


@pytest.mark.parametrize("work", ["corpus [v2]"], indirect=True)
def test_the_database_can_be_made_without_the_page(work: Path) -> None:
    assert run("report", work, "--no-page")[0] == 0
    with duckdb.connect(str(work / "quality.duckdb"), read_only=True) as database:
        assert database.sql("select text from segments").fetchall() == [("kept",)]


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    return result.exit_code, result.output


def shown(text: str) -> str:
    return text.replace("\n", " ")
