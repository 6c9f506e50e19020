"""Whatever happens to a WORKDIR, the corpus is that of a fresh build, and every file is sound."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.pipeline.toys import recording
from tests.pipeline.upkeep.workdir import Workdir, expected_rows
from wavemill.pipeline.snapshots import all_snapshots
from wavemill.pipeline.upkeep.purge import purge
from wavemill.pipeline.upkeep.withdrawal import reinstate

NAMES = [*(f"r{i}" for i in range(7)), "bad one"]
names = st.sampled_from(NAMES)
thresholds = st.sampled_from([0, 60, 128, 255])


class Life(RuleBasedStateMachine):
    """Sources and thresholds change, builds die, files rot, recordings are withdrawn."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.workdir = Workdir(self.folder)
        self.there = {name: recording(name) for name in NAMES[:4]}
        self.withdrawn: set[str] = set()
        self.threshold = 60
        self.snapshots: dict[int, list[tuple[str, int]]] = {}
        self.build()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @property
    def current(self) -> list:  # type: ignore[type-arg]
        return [rec for name, rec in self.there.items() if name not in self.withdrawn]

    @rule()
    def build(self) -> None:
        self.workdir.run(self.there.values(), self.threshold)
        self.published()

    def published(self) -> None:
        assert self.workdir.rows() == expected_rows(self.current, self.threshold)
        self.snapshots[self.workdir.number()] = self.workdir.rows()

    @rule(name=names)
    def add(self, name: str) -> None:
        self.there[name] = recording(name)

    @rule(name=names)
    def delete(self, name: str) -> None:
        self.there.pop(name, None)

    @rule(name=names, text=st.sampled_from(["CC0", "CC-BY"]))
    def relabel(self, name: str, text: str) -> None:
        if name in self.there:
            self.there[name] = recording(name, license=text)

    @rule(threshold=thresholds)
    def move_threshold(self, threshold: int) -> None:
        self.threshold = threshold

    @rule(tasks=st.integers(1, 6), remember=st.booleans())
    def die(self, tasks: int, remember: bool) -> None:
        self.workdir.run(self.there.values(), self.threshold, tasks, remember)

    @rule(keep=st.integers(1, 3))
    def gc(self, keep: int) -> None:
        self.workdir.gc(keep)
        for number in list(self.snapshots)[:-keep]:
            del self.snapshots[number]

    @rule(name=names, purged=st.booleans())
    def withdraw(self, name: str, purged: bool) -> None:
        self.build()
        self.withdrawn.add(name)
        identity = recording(name).recording_id
        self.workdir.withdraw([identity], self.threshold, purged)
        self.published()
        if purged:
            proof = purge(self.workdir.store, "now")
            assert proof.clean
            for number, rows in self.snapshots.items():
                self.snapshots[number] = [r for r in rows if not r[0].startswith(f"{name}.wav")]

    @precondition(lambda self: self.withdrawn)
    @rule()
    def reinstate(self) -> None:
        name = min(self.withdrawn)
        self.withdrawn.remove(name)
        reinstate(self.workdir.store, [recording(name).recording_id], 2)

    @rule(draw=st.integers(0, 1 << 30))
    def rot(self, draw: int) -> None:
        """A file is damaged, found, and made again by the next build."""
        self.build()
        self.workdir.gc(1)
        self.snapshots = {self.workdir.number(): self.workdir.rows()}
        files = [key for key in self.workdir.files("stages") if "/." not in key]
        if not files:
            return
        path = self.workdir.store.path(files[draw % len(files)])
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        assert files[draw % len(files)] in self.workdir.verify()
        self.workdir.repair()
        self.build()
        assert self.workdir.verify() == []

    @invariant()
    def kept_snapshots_stay(self) -> None:
        found = all_snapshots(self.workdir.store)
        assert [s.number for s in found] == list(self.snapshots)
        for snapshot in found:
            assert self.workdir.rows(snapshot.folder) == self.snapshots[snapshot.number]

    @invariant()
    def everything_is_sound(self) -> None:
        assert self.workdir.verify() == []


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=5,
    stateful_step_count=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def test_expected_rows_are_what_a_fresh_build_has(tmp_path: Path) -> None:
    workdir = Workdir(tmp_path)
    recordings = [recording(name) for name in NAMES]
    workdir.run(recordings, 60)
    assert workdir.rows() == expected_rows(recordings, 60)
    assert len(workdir.rows()) > 10


@pytest.mark.parametrize("keep", [1, 2])
def test_after_gc_a_build_has_nothing_to_do(tmp_path: Path, keep: int) -> None:
    workdir = Workdir(tmp_path)
    recordings = [recording(name) for name in NAMES]
    for threshold in (128, 60, 90):
        workdir.run(recordings, threshold)
    workdir.gc(keep)
    assert not workdir.run(recordings, 90)
    assert workdir.number() == 3
