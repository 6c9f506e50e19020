"""Kill the driver, a supervisor or a worker with SIGKILL, again and again: the corpus stays.

make soak                                   # 25 kills
WAVEMILL_KILLS=100 WAVEMILL_KILL_SEED=7 python -m pytest -s tests/faults/test_kills.py
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.command import wavemill
from tests.support import ROOT

RECORDINGS = ROOT / "examples" / "recordings"
KILLS = int(os.environ.get("WAVEMILL_KILLS", "3"))
SEED = int(os.environ.get("WAVEMILL_KILL_SEED", "35"))
CLIP_SECONDS = 6
PAUSE_SECONDS = (0.5, 5.0)  # between two kills, once there is something to kill
GIVE_UP_SECONDS = 600  # to start, or to finish, on a machine that is busy


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short clips, one a shard: enough work for every kill."""
    folder = tmp_path_factory.mktemp("clips")
    for file in sorted(RECORDINGS.glob("*.flac")):
        samples, rate = soundfile.read(file)
        step = CLIP_SECONDS * rate
        for number in range(min(len(samples) // step, 1 + KILLS // 4)):
            clip = samples[number * step : (number + 1) * step]
            soundfile.write(folder / f"{file.stem}-{number}.flac", clip, rate)
    return folder


def arguments(sources: Path, out: Path, *options: str) -> list[str]:
    fixed = ["--set", f"shard_seconds={CLIP_SECONDS}", *options]
    return ["curate", str(sources), "--out", str(out), *fixed]


def command(sources: Path, out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "wavemill.jobs.cli", *arguments(sources, out, *options)]


def rows(out: Path) -> list[dict]:  # type: ignore[type-arg]
    table = pq.read_table(out / "corpus" / "pretrain")
    return table.sort_by([("recording_id", "ascending"), ("start_ms", "ascending")]).to_pylist()


@dataclass
class Assassin:
    """Runs a command until it succeeds, and kills some of its processes on the way."""

    arguments: list[str]
    random: random.Random
    kills_left: int
    log: list[str] = field(default_factory=list)

    def run(self) -> None:
        while True:
            driver = subprocess.Popen(
                self.arguments,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
            )
            self._haunt(driver)
            output, _ = driver.communicate(timeout=GIVE_UP_SECONDS)
            if driver.returncode == 0:
                return
            assert driver.returncode == -signal.SIGKILL, output

    def _haunt(self, driver: subprocess.Popen[str]) -> None:
        """Kill until the driver is dead, the run is over, or no kills are left."""
        while self.kills_left and self._children(driver.pid) and driver.poll() is None:
            time.sleep(self.random.uniform(*PAUSE_SECONDS))
            victims = {"driver": [psutil.Process(driver.pid)], **self._victims(driver.pid)}
            kind = self.random.choice(sorted(name for name, found in victims.items() if found))
            victim = self.random.choice(victims[kind])
            orphans = [p for found in victims.values() for p in found if p.pid != driver.pid]
            try:
                victim.kill()
            except psutil.NoSuchProcess:
                continue
            self.kills_left -= 1
            self.log.append(kind)
            if kind == "driver":
                driver.wait()
                assert not psutil.wait_procs(orphans, timeout=60)[1], "workers outlive the driver"
                return

    def _children(self, driver: int) -> bool:
        """Wait for the run to have workers; false when it ends before."""
        until = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < until and psutil.pid_exists(driver):
            if psutil.Process(driver).status() == psutil.STATUS_ZOMBIE:
                return False
            if self._victims(driver)["worker"]:
                return True
            time.sleep(0.1)
        return False

    def _victims(self, driver: int) -> dict[str, list[psutil.Process]]:
        found: dict[str, list[psutil.Process]] = {"supervisor": [], "worker": []}
        try:
            below = psutil.Process(driver).children(recursive=True)
        except psutil.NoSuchProcess:
            return found
        for process in below:
            try:
                line = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if "wavemill.pipeline.execution.child" in line:
                found["worker"].append(process)
            elif line.startswith("ray::RayWorker"):
                found["supervisor"].append(process)
        return found


@pytest.mark.timeout(3600)
def test_the_corpus_is_that_of_an_undisturbed_run(sources: Path, tmp_path: Path) -> None:
    calm = wavemill(*arguments(sources, tmp_path / "calm", "--executor", "inline"))
    assert calm.returncode == 0, calm.stdout + calm.stderr
    assassin = Assassin([], random.Random(SEED), KILLS)
    started = time.monotonic()
    rounds = 0
    while assassin.kills_left:  # a run that finished early: begin anew in another WORKDIR
        rounds += 1
        assassin.arguments = command(sources, tmp_path / f"haunted-{rounds}", "--workers", "2")
        assassin.run()
        assert rows(tmp_path / f"haunted-{rounds}") == rows(tmp_path / "calm")
        errors = pq.read_table(tmp_path / f"haunted-{rounds}" / "corpus" / "errors.parquet")
        assert errors.num_rows == 0
        hidden = [p.name for p in (tmp_path / f"haunted-{rounds}").rglob("*.parquet")]
        assert not [name for name in hidden if name.startswith(".")], (
            "unfinished files read as done"
        )
    killed = {kind: assassin.log.count(kind) for kind in sorted(set(assassin.log))}
    seconds = time.monotonic() - started
    print(f"{len(assassin.log)} kills {killed} in {rounds} builds, {seconds:.0f} s; corpus equal")
