"""wavemill withdraw as a person or a script uses it: what is asked first, and what is left."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile
from click.testing import Result
from typer.testing import CliRunner

from tests.pipeline.upkeep.deaths import dying_after, files_that_name
from tests.support import ROOT
from wavemill.jobs.cli import app
from wavemill.pipeline.build import HASH_CACHE
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.lock import Holder, WorkdirBusy, locked
from wavemill.pipeline.store import Store

EVERY = int(os.environ.get("WAVEMILL_KILL_EVERY", "25"))
NAMES = ("talk [12].wav", "talk 1.wav", "talk 2.wav")
WHY = ("--reason", "consent withdrawn")


def wavemill(*arguments: object) -> Result:
    """Run a command in this process, without a terminal; errors are raised."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WORKDIR `work` beside its sources `in`, with a report."""
    folder = tmp_path_factory.mktemp("withdraw")
    samples, rate = soundfile.read(ROOT / "examples/recordings/clean_dialogue.flac")
    (folder / "in").mkdir()
    for number, name in enumerate(NAMES):
        clip = samples[rate : int(3.5 * rate)] + number * 1e-4
        soundfile.write(folder / "in" / name, clip, rate)
    arguments = ("--out", folder / "work", "--executor", "inline")
    assert wavemill("curate", folder / "in", *arguments).exit_code == 0
    assert wavemill("report", folder / "work").exit_code == 0
    return folder


@pytest.fixture
def work(built: Path, tmp_path: Path) -> Path:
    return copy_of(built, tmp_path)


def copy_of(built: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    subprocess.run(["cp", "-a", built / "work", folder / "work"], check=True)
    return folder / "work"


def names_in(work: Path) -> list[str]:
    rows = pq.read_table(work / "corpus/recordings.parquet")["uri"].to_pylist()
    return sorted(Path(uri).name for uri in rows)


def id_of(work: Path, name: str) -> str:
    rows = pq.read_table(work / "corpus/recordings.parquet").to_pylist()
    return next(row["recording_id"] for row in rows if row["uri"].endswith(f"/{name}"))


def test_a_name_with_brackets_is_a_name(work: Path) -> None:
    assert wavemill("withdraw", work, "talk [12].wav", *WHY).exit_code == 0
    assert names_in(work) == ["talk 1.wav", "talk 2.wav"]


def test_a_pattern_is_shown_first_and_wants_a_yes(work: Path) -> None:
    with pytest.raises(ConfigError, match=r"'talk \?.wav' may mean more .* 2 recordings .* --yes"):
        wavemill("withdraw", work, "talk ?.wav", *WHY)
    assert len(names_in(work)) == 3
    shown = wavemill("withdraw", work, "talk ?.wav", *WHY, "--dry-run").stdout
    assert "talk 1.wav" in shown
    assert "talk [12].wav" not in shown
    done = wavemill("withdraw", work, "talk ?.wav", *WHY, "--yes")
    assert (done.exit_code, names_in(work)) == (0, ["talk [12].wav"])
    assert done.stdout.index("talk 2.wav") < done.stdout.index("snapshot 000002")


def test_on_a_terminal_it_is_asked_and_no_changes_nothing(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavemill.jobs.withdraw.is_terminal", lambda: True)
    result = CliRunner().invoke(app, ["withdraw", str(work), "talk *", *WHY], input="n\n")
    assert result.exit_code == 1
    assert "talk 2.wav" in result.stdout
    assert len(names_in(work)) == 3
    result = CliRunner().invoke(app, ["withdraw", str(work), "talk *", *WHY], input="y\n")
    assert (result.exit_code, names_in(work)) == (0, [])


def test_purged_by_name_nothing_is_left_and_asking_again_says_so(built: Path, work: Path) -> None:
    words = (id_of(work, "talk 1.wav"), "talk 1.wav")
    assert {*files_that_name(work, words)} >= {"report/index.html", HASH_CACHE}
    for _ in range(2):
        done = wavemill("withdraw", work, "talk 1.wav", *WHY, "--purge")
        assert done.exit_code == 0
        assert "0 rows found" in done.stdout
        assert "models that learnt" in done.stdout
        assert files_that_name(work, words) == {}
    wavemill("plan", built / "in", "--out", work, "--executor", "inline")
    wavemill("refresh", work)
    wavemill("report", work)
    assert files_that_name(work, words) == {}
    assert names_in(work) == ["talk 2.wav", "talk [12].wav"]
    assert wavemill("verify", work).exit_code == 0


def test_a_later_purge_proves_the_earlier_ones_too(work: Path) -> None:
    corpus = pq.read_table(work / "corpus/pretrain")
    assert wavemill("withdraw", work, "talk 1.wav", *WHY, "--purge").exit_code == 0
    (work / "exports").mkdir()
    pq.write_table(corpus, work / "exports/mine.parquet")
    done = wavemill("withdraw", work, "talk 2.wav", *WHY, "--purge")
    assert done.exit_code == 1
    assert "exports/mine.parquet: 2 rows are left" in done.stdout


def test_killed_anywhere_the_same_command_finishes(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("talk 1.wav", *WHY, "--purge")
    words = (id_of(built / "work", "talk 1.wav"), "talk 1.wav")
    monkeypatch.setattr(Holder, "is_dead", lambda *_, **__: True)  # the killed run was this process
    with dying_after(1 << 30) as fate:
        wavemill("withdraw", copy_of(built, tmp_path / "calm"), *command)
    count = (1 << 30) - fate.left
    assert count > 60
    for number in range(EVERY // 2, count, EVERY):
        work = copy_of(built, tmp_path / str(number))
        with dying_after(number) as fate:
            wavemill("withdraw", work, *command)
        assert fate.dead
        done = wavemill("withdraw", work, *command)
        assert (done.exit_code, "0 rows found" in done.stdout) == (0, True), number
        assert files_that_name(work, words) == {}
        assert names_in(work) == ["talk 2.wav", "talk [12].wav"]
        assert wavemill("verify", work).exit_code == 0


def test_a_report_waits_for_a_purge_and_a_plan_writes_nothing(built: Path, work: Path) -> None:
    before = (work / HASH_CACHE).stat().st_mtime_ns
    with locked(Store.open(work), "wavemill withdraw"):
        with pytest.raises(WorkdirBusy, match="in use: wavemill withdraw"):
            wavemill("report", work)
        assert wavemill("plan", built / "in", "--out", work).exit_code == 0
    assert (work / HASH_CACHE).stat().st_mtime_ns == before


def test_a_file_that_was_a_source_itself_is_asked_for_no_more(built: Path, tmp_path: Path) -> None:
    work, source = tmp_path / "work", built / "in/talk 1.wav"
    wavemill("curate", source, "--out", work, "--executor", "inline")
    assert wavemill("withdraw", work, source, *WHY, "--purge").exit_code == 0
    assert files_that_name(work, ["talk 1.wav"]) == {}
    with pytest.raises(ConfigError, match=r"all sources .* have been purged"):
        wavemill("refresh", work)
