"""Signals end a command as Ctrl-C does: one line, an exit code that says it, no leftovers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.pipeline.quality.support import Shard, recording, write_workdir
from tests.support import ROOT

GIVE_UP_SECONDS = 240.0
LINE = "wavemill: stopped; the same command goes on\n"


@contextmanager
def started(*arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "wavemill.jobs.cli", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + GIVE_UP_SECONDS
    while not condition():
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_build_says_that_it_goes_on(number: int, code: int, tmp_path: Path) -> None:
    work = tmp_path / "work"
    sources = ROOT / "examples" / "recordings"
    with started("curate", sources, "--out", work, "--executor", "inline") as process:
        wait_for((work / "stages").exists, process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=GIVE_UP_SECONDS)
    assert (process.returncode, errors) == (code, LINE)
    assert not (work / "manifest/lock.json").exists()
    assert not list(work.rglob("*.tmp"))


LOSING = """
import os, signal, time
import typer
from wavemill.jobs.entry import run_command

class Removed:
    def __del__(self):  # what is raised here is lost
        os.kill(os.getpid(), NUMBER)
        time.sleep(60)

def command():
    for _ in range(3):  # also the second time
        Removed()
    time.sleep(60)
    print("it went on")

run_command(command)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_that_comes_while_an_object_is_removed_is_not_lost(number: int, code: int) -> None:
    program = LOSING.replace("NUMBER", str(int(number)))
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=GIVE_UP_SECONDS,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", LINE)


def test_a_dashboard_leaves_no_transcripts(tmp_path: Path) -> None:
    shard, rec = Shard(), recording(1, 4000)
    shard.recordings = [rec]
    shard.decode(rec)
    shard.segment(rec, 0, 4000, text="nobody else should read this")
    write_workdir(tmp_path / "work", [shard])
    place = Path("/tmp") / f"w{os.getpid()}"  # short: of a long TMPDIR no use is made
    place.mkdir()
    try:
        command = ("dashboard", tmp_path / "work", "--port", "0")
        with started(*command, TMPDIR=str(place), PYTHONUNBUFFERED="1", COLUMNS="200") as process:
            assert process.stdout is not None
            address = process.stdout.readline().split(" at ")[1].split()[0]
            urllib.request.urlopen(f"{address}/api/figures", timeout=GIVE_UP_SECONDS).read()
            assert not list(place.rglob("*.duckdb"))
            process.terminate()
            output, errors = process.communicate(timeout=GIVE_UP_SECONDS)
        assert (process.returncode, output, errors) == (0, "stopped\n", "")
        assert not list(place.iterdir())
    finally:
        for left in sorted(place.rglob("*"), reverse=True):
            left.rmdir() if left.is_dir() else left.unlink()
        place.rmdir()
