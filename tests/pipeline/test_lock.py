"""The lock of a WORKDIR: who has it, who may take it over, and that only one run ever has it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from pyarrow import fs

from tests.support import ROOT
from wavemill.pipeline import lock
from wavemill.pipeline.lock import LOCK, SILENT_SECONDS, Holder, WorkdirBusy, locked, read_lock
from wavemill.pipeline.store import Store

HOLD = """
import sys, time
from wavemill.pipeline.lock import locked
from wavemill.pipeline.store import Store
with locked(Store.open(sys.argv[1]), "wavemill curate"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "work")


@pytest.fixture(params=["local", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A local store, and one whose file system has no locks and no renames that we may use."""
    if request.param == "local":
        return Store.open(tmp_path / "work")
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.2)
    (tmp_path / "remote" / "work" / "manifest").mkdir(parents=True)
    return Store("work", fs.SubTreeFileSystem(str(tmp_path / "remote"), fs.LocalFileSystem()))


def write(store: Store, holder: Holder) -> None:
    store.write_text(LOCK, json.dumps(asdict(holder)))


def other_process(store: Store, seconds: float = 60) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, store.root, str(seconds)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8")
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def running(local: Store) -> Iterator[subprocess.Popen[str]]:
    process = other_process(local)
    yield process
    process.kill()
    process.wait()


def test_the_second_run_is_refused_and_told_of_the_first(store: Store) -> None:
    with locked(store, "wavemill curate"):
        holder = read_lock(store)
        assert holder is not None
        with pytest.raises(WorkdirBusy) as refusal, locked(store, "wavemill gc"):
            pass
    for part in (store.root, "wavemill curate", holder.host, str(holder.pid), "UTC"):
        assert part in str(refusal.value)
    assert "\n" not in str(refusal.value)
    with locked(store, "wavemill gc") as held:
        assert held.taken_from is None


def test_a_live_process_keeps_its_lock(local: Store, running: subprocess.Popen[str]) -> None:
    with pytest.raises(WorkdirBusy, match=str(running.pid)), locked(local, "gc"):
        pass


def test_the_lock_of_a_killed_process_is_taken_over(
    local: Store, running: subprocess.Popen[str]
) -> None:
    running.kill()
    running.stdout.read()  # type: ignore[union-attr]  # ended, though nobody has waited for it
    with locked(local, "gc") as held:
        assert held.taken_from is not None
        assert held.taken_from.pid == running.pid


def test_a_process_id_that_is_used_again_is_another_run(store: Store) -> None:
    mine = Holder.this_process("curate")
    write(store, replace(mine, process="1"))
    with locked(store, "gc") as held:
        assert held.taken_from is not None


def test_a_reboot_ends_every_run(local: Store) -> None:
    write(local, replace(Holder.this_process("curate"), boot="before"))
    with locked(local, "gc") as held:
        assert held.taken_from is not None


@pytest.mark.parametrize(("silent", "dead"), [(SILENT_SECONDS / 2, False), (9e9, True)])
def test_another_machine_counts_by_its_heartbeat(local: Store, silent: float, dead: bool) -> None:
    mine = Holder.this_process("curate")
    write(local, replace(mine, machine="elsewhere", pid=1, heartbeat=time.time() - silent))
    if dead:
        with locked(local, "gc"):
            return
    with pytest.raises(WorkdirBusy), locked(local, "gc"):
        pass


def test_what_is_no_lock_does_not_keep_anyone_out(local: Store) -> None:
    local.write_text(LOCK, '{"half": ')
    with locked(local, "gc"):
        pass


def test_the_heartbeat_is_renewed(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)
    with locked(local, "curate"):
        first = read_lock(local)
        deadline = time.monotonic() + 60
        while (now := read_lock(local)) == first and time.monotonic() < deadline:
            time.sleep(0.01)
        assert first is not None
        assert now is not None
        assert now.heartbeat > first.heartbeat
        assert now.token == first.token


def test_a_run_that_lost_its_lock_learns_of_it_and_leaves_the_other_alone(local: Store) -> None:
    with locked(local, "curate") as held:
        held.confirm()
        other = replace(Holder.this_process("refresh"), token="other")
        write(local, other)
        with pytest.raises(WorkdirBusy, match="refresh"):
            held.confirm()
        with pytest.raises(WorkdirBusy):
            held.check()
    assert read_lock(local) == other


def test_of_many_that_start_together_one_gets_it(store: Store) -> None:
    barrier, done = threading.Barrier(8), threading.Event()
    got: list[str] = []

    def run() -> None:
        barrier.wait()
        try:
            with locked(store, "curate"):
                got.append("lock")
                done.wait(60)
        except WorkdirBusy:
            got.append("busy")

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while len(got) < 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    done.set()
    for thread in threads:
        thread.join()
    assert sorted(got) == ["busy"] * 7 + ["lock"]


def test_nothing_is_left_of_a_run_that_wrote_nothing(local: Store) -> None:
    with locked(local, "curate"):
        pass
    assert not Path(local.root).exists()
    Path(local.root).mkdir()
    with locked(local, "curate"):
        pass
    assert list(Path(local.root).iterdir()) == []
