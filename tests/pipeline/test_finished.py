"""What is remembered of finished shards, and when it does not count."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.pipeline.test_build_core import TEN, ToyBuild
from tests.pipeline.toys import recording, toy_graph
from wavemill.pipeline.catalogue import CATALOGUE, SCHEMA, Catalogue
from wavemill.pipeline.finished import FINISHED, Finished
from wavemill.pipeline.ledger import Ledger, ledger_files
from wavemill.pipeline.plan import Plan


@pytest.fixture
def build(tmp_path: Path) -> ToyBuild:
    made = ToyBuild(tmp_path)
    made.run(TEN)
    return made


def todo(plan: Plan) -> set[tuple[str, str]]:
    return set(plan.catalogue.database.execute("select shard_id, stage from todo").fetchall())


def shards(plan: Plan) -> list[tuple[object, ...]]:
    return plan.catalogue.database.execute("from shards order by shard_id").fetchall()


def with_and_without(build: ToyBuild, today: list, **changes: int) -> None:  # type: ignore[type-arg]
    """Plan, and plan again without the file: both say the same."""
    graph = toy_graph(log=build.log, **changes)
    with_file = build.plan(today, graph)
    content = build.store.path(FINISHED).read_bytes()
    build.store.delete(FINISHED)
    without = build.plan(today, graph)
    build.store.path(FINISHED).write_bytes(content)
    assert todo(with_file) == todo(without)
    assert shards(with_file) == shards(without)
    assert with_file.catalogue.changes == without.catalogue.changes
    assert with_file.loads() == without.loads()
    members = "select recording_id, shard_id, label_digest from members where active order by all"
    found = [plan.catalogue.database.execute(members).fetchall() for plan in (with_file, without)]
    assert found[0] == found[1]


def test_only_shards_with_a_difference_are_looked_at(build: ToyBuild) -> None:
    plan = build.plan([replace(TEN[0], uri="elsewhere.wav"), *TEN[1:]], toy_graph(log=build.log))
    count = "select count(*) from"
    assert plan.catalogue.database.execute(f"{count} touched").fetchall() == [(1,)]
    assert plan.catalogue.database.execute(f"{count} unknown").fetchall() == [(1,)]
    assert build.plan(TEN, toy_graph(log=build.log)).pending == 0


def test_the_plan_is_the_same_without_it(build: ToyBuild) -> None:
    with_and_without(build, TEN)
    with_and_without(build, TEN[1:])
    with_and_without(build, [*TEN, recording("new")])
    with_and_without(build, [replace(TEN[0], uri="elsewhere.wav"), *TEN[2:]])
    with_and_without(build, TEN, threshold=20)


def test_a_lost_file_of_the_ledger_is_noticed(build: ToyBuild) -> None:
    graph = toy_graph(log=build.log)
    assert build.plan(TEN, graph).pending == 0
    for key in ledger_files(build.store):
        build.store.delete(key)
    assert build.plan(TEN, graph).pending == 5


def test_a_damaged_one_counts_as_none(build: ToyBuild) -> None:
    build.store.write_text(FINISHED, "no table")
    assert Finished.read(build.store) == Finished()
    assert build.plan(TEN, toy_graph(log=build.log)).pending == 0


def test_merged_files_of_the_ledger_are_compared_once(
    build: ToyBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavemill.pipeline.ledger.MAX_FILES", 0)
    Ledger(build.store).compact()
    plan = build.plan(TEN, toy_graph(log=build.log))
    assert plan.pending == 0
    plan.remember_finished(build.store)
    assert Finished.read(build.store).holds_for(plan.graph.digest, plan.ledger.files())


def test_what_is_published_is_known(build: ToyBuild) -> None:
    graph = toy_graph(log=build.log)
    plan = build.plan(TEN, graph)
    plan.remember_finished(build.store, "this")
    assert build.plan(TEN, graph).is_published("this")
    assert not build.plan(TEN, graph).is_published("that")
    fewer = build.plan(TEN[1:], graph)
    fewer.catalogue.save()
    assert not fewer.is_published("this")


def test_a_catalogue_of_an_earlier_version_gets_its_hashes(build: ToyBuild) -> None:
    store = build.store
    before = store.read_table(CATALOGUE)
    store.write_table(CATALOGUE, before.select(SCHEMA.names).replace_schema_metadata(None))
    plan = build.plan(TEN, toy_graph(log=build.log))
    assert not plan.catalogue.changes.any
    assert plan.pending == 0
    plan.catalogue.save()
    assert store.read_table(CATALOGUE).equals(before)
    make = partial(Catalogue, store, plan.catalogue.recordings, 120)
    assert make().mark == plan.catalogue.mark != ""
