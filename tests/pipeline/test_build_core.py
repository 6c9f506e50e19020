"""The build model on toy stages: what is computed, what is not, and what comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

import pyarrow.parquet as pq
import pytest

from tests.pipeline.toys import recording, toy_graph
from wavemill.manifests.recording import Item, Recording, SourceError
from wavemill.manifests.table import recordings_table
from wavemill.pipeline.catalogue import Catalogue
from wavemill.pipeline.execution.events import TaskDone
from wavemill.pipeline.execution.inline import run_inline
from wavemill.pipeline.execution.on_ray import run_on_ray
from wavemill.pipeline.execution.settings import ExecutionSettings
from wavemill.pipeline.graph import Graph
from wavemill.pipeline.ledger import Ledger
from wavemill.pipeline.plan import Plan
from wavemill.pipeline.snapshots import Snapshot, latest_snapshot, write_snapshot
from wavemill.pipeline.store import Store
from wavemill.stages.engine import EngineUnavailable


class ToyBuild:
    """A WORKDIR with toy stages, built again and again."""

    def __init__(self, root: Path) -> None:
        self.store = Store.open(root / "work")
        self.log = root / "calls.txt"

    def plan(self, recordings: list[Recording], graph: Graph) -> Plan:
        ordered = sorted(recordings, key=lambda r: r.recording_id)
        catalogue = Catalogue(self.store, recordings_table(ordered), shard_seconds=120)
        return Plan(graph, catalogue, Ledger(self.store))

    def execute(self, plan: Plan, make_graph: Callable[[], Graph]) -> None:
        plan.catalogue.save()
        for event in run_inline(plan, make_graph, self.store):
            if isinstance(event, TaskDone):
                plan.ledger.add(event.result)
        plan.ledger.flush()

    def run(self, recordings: list[Recording], **changes: int) -> Counter[str]:
        """Build and return how often each stage was called."""
        self.log.write_text("", encoding="utf-8")
        maker = partial(toy_graph, log=self.log, **changes)
        plan = self.plan(recordings, maker())
        self.execute(plan, maker)
        self.publish(plan)
        return Counter(
            line.split()[0] for line in self.log.read_text(encoding="utf-8").splitlines()
        )

    def publish(self, plan: Plan) -> Snapshot:
        snapshot = write_snapshot(self.store, plan, [SourceError("x", "not_audio", "x")], {}, "0")
        plan.remember_finished(self.store)
        return snapshot

    def rows(self) -> list[tuple[str, int]]:
        table = pq.read_table(self.store.path("corpus/gather"))
        return sorted(
            zip(table["segment_id"].to_pylist(), table["number"].to_pylist(), strict=True)
        )


@pytest.fixture
def build(tmp_path: Path) -> ToyBuild:
    return ToyBuild(tmp_path)


TEN = [recording(f"r{i}") for i in range(10)]


def test_a_build_has_every_kept_row(build: ToyBuild) -> None:
    calls = build.run(TEN)
    expected = [
        (f"{r.uri}-{i}", 2 * byte)
        for r in TEN
        for i, byte in enumerate(bytes.fromhex(r.recording_id[:8]))
        if byte >= 50
    ]
    assert build.rows() == sorted(expected)
    assert calls["draw"] == 10


def test_a_second_run_computes_nothing_and_makes_no_snapshot(build: ToyBuild) -> None:
    build.run(TEN)
    assert build.run(TEN) == Counter()
    snapshot = latest_snapshot(build.store)
    assert snapshot is not None
    assert snapshot.number == 1


def test_new_recordings_join_new_shards(build: ToyBuild) -> None:
    build.run(TEN)
    calls = build.run([*TEN, recording("new")])
    assert calls["draw"] == 1
    assert any(name.startswith("new.wav") for name, _ in build.rows())


def test_the_corpus_does_not_depend_on_history(build: ToyBuild, tmp_path: Path) -> None:
    build.run(TEN[:3])
    build.run(TEN[2:])
    build.run(TEN)
    other = ToyBuild(tmp_path / "other")
    (tmp_path / "other").mkdir()
    other.run(TEN)
    assert build.rows() == other.rows()


def test_a_lower_threshold_weighs_only_what_is_newly_kept(build: ToyBuild) -> None:
    build.run(TEN, threshold=100)
    before = len(build.rows())
    calls = build.run(TEN, threshold=20)
    assert calls["draw"] == 0
    assert calls["weigh"] == len(build.rows()) - before
    calls = build.run(TEN, threshold=60)  # all of it was weighed before
    assert calls["weigh"] == 0
    assert all(number >= 120 for _, number in build.rows())


def test_nothing_newly_kept_loads_no_engine(build: ToyBuild) -> None:
    build.run(TEN, threshold=20)
    maker = partial(_graph_without_scales, threshold=100)
    plan = build.plan(TEN, maker())
    build.execute(plan, maker)
    assert not build.plan(TEN, maker()).pending


def _graph_without_scales(threshold: int) -> Graph:
    graph = toy_graph(threshold)
    object.__setattr__(graph.stages["weigh"], "build", _no_engine)
    return graph


def _no_engine(device: str) -> NoReturn:
    raise EngineUnavailable(f"no scales on {device}")


def test_a_change_recomputes_what_lies_below(build: ToyBuild) -> None:
    build.run(TEN)
    calls = build.run(TEN, scale=2)
    assert (calls["draw"], calls["verdict"]) == (10, 10)


def test_labels_reach_only_stages_that_read_them(build: ToyBuild) -> None:
    build.run(TEN)
    relabelled = [recording(f"r{i}", license="CC0") for i in range(10)]
    assert build.run(relabelled) == Counter()
    snapshot = latest_snapshot(build.store)
    assert snapshot is not None
    assert snapshot.number == 2


def test_item_spans_are_audio(build: ToyBuild) -> None:
    build.run(TEN[:1])
    labelled = recording("r0", items=(Item("i", 0, 500, text="one"),))
    assert build.run([labelled])["draw"] == 1


def test_a_failing_recording_is_an_error_row_and_leaves_no_rows(build: ToyBuild) -> None:
    build.run([*TEN, recording("bad one"), recording("surprise")])
    errors = pq.read_table(build.store.path("corpus/errors.parquet")).to_pylist()
    assert [(e["stage"], e["reason"]) for e in errors] == [
        ("draw", "bad_number"),
        ("draw", "unexpected_error"),
        ("manifest", "not_audio"),
    ]
    assert "nobody foresaw this" in errors[1]["message"]
    assert not any(name.startswith(("bad", "surprise")) for name, _ in build.rows())
    assert {name.split(".")[0] for name, _ in build.rows()} <= {f"r{i}" for i in range(10)}


def test_an_interrupted_stage_leaves_no_file(build: ToyBuild) -> None:
    plan = build.plan(TEN, toy_graph())
    with pytest.raises(KeyboardInterrupt):
        list(run_inline(plan, _interrupting_graph, build.store))
    leftovers = [p for p in build.store.path("stages").rglob("*") if p.is_file()]
    assert leftovers == []


def _interrupting_graph() -> Graph:
    graph = toy_graph()
    original = graph.stages["draw"].build("cpu")

    def draw(rec: Recording, upstream: object):  # type: ignore[no-untyped-def]
        yield from original(rec, upstream)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    object.__setattr__(graph.stages["draw"], "build", lambda _: draw)
    return graph


def test_an_empty_corpus_still_has_a_schema(build: ToyBuild) -> None:
    build.run(TEN[:1], threshold=1000)
    table = pq.read_table(build.store.path("corpus/gather"))
    assert table.num_rows == 0
    assert table.column_names == ["recording_id", "segment_id", "number"]


def test_older_snapshots_stay_readable(build: ToyBuild) -> None:
    build.run(TEN, threshold=100)
    first = pq.read_table(build.store.path("snapshots/000001/gather")).num_rows
    build.run(TEN, threshold=0)
    assert pq.read_table(build.store.path("snapshots/000001/gather")).num_rows == first
    assert build.store.path("corpus").resolve().name == "000002"
    assert len(build.rows()) == 40


def test_lineage_leads_to_the_files(build: ToyBuild) -> None:
    build.run(TEN)
    lineage = pq.read_table(build.store.path("corpus/lineage.parquet")).to_pylist()
    assert {row["stage"] for row in lineage} == {"draw", "verdict", "weigh", "gather"}
    assert all(build.store.exists(row["output"]) for row in lineage)


def test_ray_and_inline_give_the_same_corpus_and_ray_survives_a_death(tmp_path: Path) -> None:
    inline, on_ray = ToyBuild(tmp_path / "a"), ToyBuild(tmp_path / "b")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    inline.run(TEN)
    plan = on_ray.plan([*TEN, recording("kill")], toy_graph())
    for event in run_on_ray(plan, toy_graph, on_ray.store, ExecutionSettings(workers=2)):
        if isinstance(event, TaskDone):
            plan.ledger.add(event.result)
    on_ray.publish(plan)
    errors = pq.read_table(on_ray.store.path("corpus/errors.parquet")).to_pylist()
    assert [(e["uri"], e["reason"]) for e in errors if e["stage"] == "draw"] == [
        ("kill.wav", "worker_crashed")
    ]
    assert on_ray.rows() == inline.rows()
