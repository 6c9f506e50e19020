"""refresh, snapshots, diff, gc, verify, withdraw and the lock, on real audio, as a user does."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile
from click.testing import Result
from typer.testing import CliRunner

from tests.command import wavemill as program
from tests.support import ROOT
from wavemill.jobs.cli import app
from wavemill.pipeline.lock import locked
from wavemill.pipeline.request import REQUEST
from wavemill.pipeline.store import Store
from wavemill.stages.denoise.deepfilternet import DeepFilterNet

RECORDINGS = ROOT / "examples" / "recordings"
NAMES = ("clean_dialogue", "low_level_with_hum", "stereo_call")
SETTINGS = ("--executor", "inline", "--set", "shard_seconds=7")


def wavemill(*arguments: object) -> Result:
    """Run a command in this process; errors that a person can mend are raised."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of 6 s each."""
    made = tmp_path_factory.mktemp("sources")
    for name in NAMES[:2]:
        _write(made, name)
    return made


def _write(folder: Path, name: str) -> Path:
    samples, rate = soundfile.read(RECORDINGS / f"{name}.flac")
    soundfile.write(folder / f"{name}.flac", samples[: 6 * rate], rate)
    return folder / f"{name}.flac"


@pytest.fixture(scope="module")
def built(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Sources and a WORKDIR with two snapshots: two recordings, then a longer minimum."""
    work = tmp_path_factory.mktemp("built") / "work"
    assert wavemill("curate", folder, "--out", work, *SETTINGS).exit_code == 0
    assert wavemill("refresh", work, "--set", "filter.asr.min_duration_s=2").exit_code == 0
    return folder, work


@pytest.fixture
def case(built: tuple[Path, Path], tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """The sources, restored afterwards, and a copy of the WORKDIR."""
    folder, work = built[0], tmp_path / "work"
    shutil.copytree(folder, tmp_path / "in", copy_function=shutil.copy2)
    subprocess.run(["cp", "-a", built[1], work], check=True)  # keeps hard links
    yield folder, work
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "in", folder, copy_function=shutil.copy2)


def sources_of(work: Path) -> set[str]:
    rows = pq.read_table(work / "corpus/pretrain", columns=["source"])["source"]
    return {Path(source).stem for source in rows.to_pylist()}


def test_refresh_takes_what_is_new_and_computes_nothing_twice(case: tuple[Path, Path]) -> None:
    folder, work = case
    assert "nothing to do" in wavemill("refresh", work).stdout
    _write(folder, NAMES[2])
    (folder / f"{NAMES[0]}.flac").unlink()
    before = {p: p.stat().st_mtime_ns for p in (work / "stages/decode").rglob("*.parquet")}
    assert wavemill("refresh", work).exit_code == 0
    assert sources_of(work) == set(NAMES[1:])
    after = {p: p.stat().st_mtime_ns for p in (work / "stages/decode").rglob("*.parquet")}
    assert len(after) == len(before) + 1
    assert all(after[path] == when for path, when in before.items())


def test_refresh_remembers_its_settings(case: tuple[Path, Path]) -> None:
    _, work = case
    assert wavemill("refresh", work, "--set", "filter.asr.min_duration_s=1").exit_code == 0
    request = json.loads((work / REQUEST).read_text(encoding="utf-8"))
    assert request["config"]["filter"]["asr"]["min_duration_s"] == 1
    assert request["config"]["shard_seconds"] == 7
    assert request["config"]["execution"]["executor"] == "inline"
    assert "nothing to do" in wavemill("refresh", work).stdout


def test_refresh_of_what_was_never_built_says_how_to_build(tmp_path: Path) -> None:
    done = program("refresh", tmp_path / "work")
    assert done.returncode == 2
    assert "wavemill curate SOURCE... --out" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "work").exists()


def test_snapshots_and_diff(built: tuple[Path, Path]) -> None:
    _, work = built
    found = json.loads(wavemill("snapshots", work, "--json").stdout)
    assert [s["number"] for s in found] == [1, 2]
    assert found[1]["parent"] == 1
    lines = wavemill("snapshots", work).stdout.splitlines()
    assert any(line.split()[:2] == ["2", "1"] for line in lines)
    change = json.loads(wavemill("diff", work, "--json").stdout)
    assert change["recordings"] == []
    (setting,) = change["config"]
    assert setting == {"field": "filter.asr.min_duration_s", "before": 1.0, "after": 2.0}
    assert {rule["rule"] for rule in change["rules"]} == {"too_short"}
    text = wavemill("diff", work, 1, 2).stdout
    assert "newly rejected" in text
    assert "too_short" in text


def test_diff_of_what_is_not_there_names_what_is(built: tuple[Path, Path]) -> None:
    done = program("diff", built[1], 1, 9)
    assert done.returncode == 2
    assert "no snapshot 9; there are: 1, 2" in done.stderr


def test_gc_shows_then_removes(case: tuple[Path, Path]) -> None:
    _, work = case
    before = sorted(work.rglob("*"))
    shown = wavemill("gc", work, "--keep", 1, "--dry-run").stdout
    assert sorted(work.rglob("*")) == before
    assert "snapshots that can go: 1" in shown
    assert wavemill("gc", work, "--keep", 1).exit_code == 0
    assert not (work / "snapshots/000001").exists()
    assert len(list((work / "stages/verdict").iterdir())) == 1
    assert wavemill("verify", work).exit_code == 0
    assert "nothing to do" in wavemill("refresh", work).stdout


def test_verify_names_and_mends(case: tuple[Path, Path]) -> None:
    _, work = case
    rows = pq.read_table(work / "corpus/pretrain").to_pylist()
    path = next((work / "stages/transcribe").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-1])
    done = wavemill("verify", work)
    assert done.exit_code == 1
    assert str(path.relative_to(work)) in done.stdout
    assert wavemill("verify", work, "--repair").exit_code == 1
    assert "nothing to do" not in wavemill("refresh", work).stdout
    wavemill("gc", work, "--keep", 1)
    assert wavemill("verify", work).exit_code == 0
    assert pq.read_table(work / "corpus/pretrain").to_pylist() == rows


def test_withdraw_takes_it_out_and_purge_deletes_it(case: tuple[Path, Path]) -> None:
    folder, work = case
    arguments = ("withdraw", work, f"{NAMES[0]}.flac", "--reason", "consent")
    shown = wavemill(*arguments, "--dry-run").stdout
    assert NAMES[0] in shown
    assert sources_of(work) == set(NAMES[:2])
    assert wavemill(*arguments).exit_code == 0
    assert sources_of(work) == {NAMES[1]}
    assert (work / "corpus").resolve().name == "000003"
    again = wavemill("refresh", work).stdout
    assert "withdrawn and stay out: 1" in again
    assert "nothing to do" in again
    assert wavemill("withdraw", work, f"{NAMES[0]}.flac", "--undo").exit_code == 0
    done = wavemill(*arguments, "--purge")
    assert done.exit_code == 0
    assert "0 rows found" in done.stdout
    assert wavemill("verify", work).exit_code == 0
    for path in work.rglob("*.parquet"):
        if path.name != "withdrawn.parquet":
            assert NAMES[0] not in str(pq.read_table(path).to_pylist()), path
    assert (folder / f"{NAMES[0]}.flac").exists()


def test_withdraw_wants_a_reason_and_something_to_withdraw(built: tuple[Path, Path]) -> None:
    for arguments, message in (
        (("clean_dialogue.flac",), "--reason"),
        (
            ("nothing.flac", "--reason", "x"),
            "'nothing.flac' is not the id or source of a recording",
        ),
    ):
        done = program("withdraw", built[1], *arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_while_one_run_has_the_workdir_others_are_refused(built: tuple[Path, Path]) -> None:
    folder, work = built
    with locked(Store.open(work), "wavemill curate"):
        for arguments in (
            ("curate", folder, "--out", work),
            ("refresh", work),
            ("gc", work, "--keep", 1),
        ):
            done = program(*arguments)
            assert done.returncode == 2
            assert "is in use: wavemill curate on" in done.stderr
            assert len(done.stderr.splitlines()) == 1
        for reading in (("snapshots", work), ("diff", work), ("verify", work)):
            assert wavemill(*reading).exit_code == 0


def test_after_a_kill_the_next_run_takes_the_lock_over(case: tuple[Path, Path]) -> None:
    folder, work = case
    _write(folder, NAMES[2])
    command = [sys.executable, "-m", "wavemill.jobs.cli", "refresh", str(work)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not (work / "manifest/lock.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = wavemill("refresh", work)
    assert f"took over the lock of a run that has died: wavemill refresh on {platform.node()}" in (
        " ".join(done.stdout.split())
    )
    assert sources_of(work) == set(NAMES)
    assert not (work / "manifest/lock.json").exists()


def test_retry_failed_tries_again_what_an_engine_could_not_do(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder / f"{NAMES[1]}.flac"
    enhanced = "--set=denoise.recordings=all"
    arguments = ("curate", source, "--out", tmp_path / "work", *SETTINGS, enhanced)
    with monkeypatch.context() as patch:
        patch.setattr(DeepFilterNet, "enhance", _broken)
        wavemill(*arguments)
    assert _reasons(tmp_path) == ["unexpected_error"]
    assert "nothing to do" in wavemill(*arguments).stdout
    assert _reasons(tmp_path) == ["unexpected_error"]
    assert wavemill("plan", *arguments[1:]).exit_code == 0
    assert wavemill("plan", *arguments[1:], "--retry-failed").exit_code == 0
    wavemill(*arguments, "--retry-failed")
    assert _reasons(tmp_path) == []
    assert sources_of(tmp_path / "work") == {NAMES[1]}


def _broken(*_: object) -> None:
    raise RuntimeError("a library of the wrong version")


def _reasons(folder: Path) -> list[str]:
    reasons: list[str] = pq.read_table(folder / "work/corpus/errors.parquet")["reason"].to_pylist()
    return reasons
