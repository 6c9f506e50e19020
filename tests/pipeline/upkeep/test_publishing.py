"""Publishing that was cut off anywhere is completed by whoever comes next."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.pipeline.toys import recording
from tests.pipeline.upkeep.deaths import dying_after
from tests.pipeline.upkeep.workdir import Workdir, expected_rows
from wavemill.pipeline.build import hold
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.snapshots import point_corpus_at_newest

EVERY = int(os.environ.get("WAVEMILL_KILL_EVERY", "4"))
FOUR = [recording(f"r{i}") for i in range(4)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    made = Workdir(tmp_path_factory.mktemp("built"))
    made.run(FOUR, 20)
    return made


def behind(workdir: Workdir) -> Workdir:
    """Leave the link at the snapshot before the newest one."""
    workdir.run(FOUR[:3], 20)
    link = workdir.store.path("corpus")
    link.unlink()
    link.symlink_to("snapshots/000001")
    return workdir


def test_killed_anywhere_the_next_build_publishes(built: Workdir, tmp_path: Path) -> None:
    with dying_after(1 << 30) as fate:
        built.copy(tmp_path / "calm").run(FOUR[:3], 20)
    count = (1 << 30) - fate.left
    for number in range(1, count, EVERY):
        workdir = built.copy(tmp_path / str(number))
        with dying_after(number):
            workdir.run(FOUR[:3], 20)
        workdir.run(FOUR[:3], 20)
        assert workdir.verify() == []
        assert workdir.number() == 2
        assert workdir.rows() == expected_rows(FOUR[:3], 20)


def test_a_build_with_nothing_to_do_sets_the_link_right(built: Workdir, tmp_path: Path) -> None:
    workdir = behind(built.copy(tmp_path))
    assert workdir.verify() == ["corpus"]
    assert not workdir.run(FOUR[:3], 20)
    assert workdir.verify() == []


def test_so_does_whoever_holds_the_workdir(built: Workdir, tmp_path: Path) -> None:
    workdir = behind(built.copy(tmp_path))
    with hold(workdir.store, "wavemill report", print):
        assert workdir.rows() == expected_rows(FOUR[:3], 20)


def test_what_is_no_link_is_left_and_told(built: Workdir, tmp_path: Path) -> None:
    workdir = built.copy(tmp_path)
    link = workdir.store.path("corpus")
    link.unlink()
    link.mkdir()
    (link / "mine").write_text("x", encoding="utf-8")
    with pytest.raises(ConfigError, match="move it away"):
        point_corpus_at_newest(workdir.store)
    assert (link / "mine").exists()
