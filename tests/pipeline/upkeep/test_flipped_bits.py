"""A bit that flips in a stage output reaches no corpus unseen, whatever is built afterwards."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.pipeline.toys import recording
from tests.pipeline.upkeep.workdir import Workdir, expected_rows
from wavemill.pipeline.damage import WorkdirDamaged
from wavemill.pipeline.ledger import Ledger

SIX = [recording(f"r{i}") for i in range(6)]
ALL = [*SIX, recording("bad one")]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    made = Workdir(tmp_path_factory.mktemp("built"))
    made.run(ALL, 100)
    return made


def flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def refusal(workdir: Workdir, threshold: int) -> str:
    """Build, and return the line that says why not, or nothing."""
    try:
        workdir.run(ALL, threshold)
    except WorkdirDamaged as error:
        return str(error)
    return ""


@pytest.mark.parametrize("seed", range(10))
def test_no_flip_gets_through(built: Workdir, tmp_path: Path, seed: int) -> None:
    """Other thresholds, the same ones and back: refused in one line, or right and still named."""
    chance = random.Random(seed)
    workdir = built.copy(tmp_path)
    key = chance.choice(workdir.files("stages"))
    flip(workdir.store.path(key), chance)
    assert key in workdir.verify()
    for threshold in (chance.choice([20, 60, 101]), 100):
        refused = refusal(workdir, threshold)
        assert refused == "" or (key in refused and "\n" not in refused and "verify" in refused)
        if not refused and "/gather/" not in key:  # whose own rows are damaged
            assert workdir.rows() == expected_rows(SIX, threshold)
        assert key in workdir.verify()  # as long as nobody has mended it
    workdir.repair()
    workdir.run(ALL, 20)
    assert workdir.rows() == expected_rows(SIX, 20)
    workdir.gc(1)
    assert workdir.verify() == []


@pytest.mark.parametrize("stage", ["draw", "verdict", "weigh", "gather"])
def test_a_recorded_hash_stays(built: Workdir, tmp_path: Path, stage: str) -> None:
    """Also of an output that another configuration asks for again, and finds there."""
    workdir = built.copy(tmp_path)
    before = hashes(workdir)
    (key, *_) = (k for k in workdir.files(f"stages/{stage}") if "errors" not in k)
    flip(workdir.store.path(key), random.Random(1))
    for threshold in (101, 100, 20):
        refusal(workdir, threshold)
    after = hashes(workdir)
    assert {output: after[output] for output in before} == before


def hashes(workdir: Workdir) -> dict[str, tuple[str, str | None]]:
    rows = Ledger(workdir.store).rows().to_pylist()
    return {row["output"]: (row["sha256"], row["errors_sha256"]) for row in rows}


@pytest.mark.parametrize("seed", range(6))
def test_what_a_dead_run_left_is_taken_only_if_it_is_whole(tmp_path: Path, seed: int) -> None:
    """Its hashes died with it; the checksums of the pages are in the files."""
    chance = random.Random(seed)
    workdir = Workdir(tmp_path)
    workdir.run(ALL, 100, tasks=6, remember=False)
    keys = [key for key in workdir.files("stages") if not key.endswith("errors.parquet")]
    path = workdir.store.path(chance.choice(keys))
    content = bytearray(path.read_bytes())
    content[chance.randrange(4, len(content) // 3)] ^= 1 << chance.randrange(8)  # in the pages
    path.write_bytes(content)
    workdir.run(ALL, 100)
    assert workdir.rows() == expected_rows(SIX, 100)
    assert workdir.verify() == []


@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_what_is_cut_or_gone_is_one_line(built: Workdir, tmp_path: Path, harm: str) -> None:
    workdir = built.copy(tmp_path)
    key = next(k for k in workdir.files("stages/draw") if "errors" not in k)
    path = workdir.store.path(key)
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        path.unlink()
    with pytest.raises(WorkdirDamaged, match=r"draw/.*: (has .* bytes, not|is missing)"):
        workdir.run(ALL, 20)
    workdir.repair()
    workdir.run(ALL, 20)
    assert workdir.rows() == expected_rows(SIX, 20)
