"""What is there and what is to do: every stage of every shard, from the store's file names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.graph import Graph, Stage
from pipeline.shard import Shard
from pipeline.store import Store
from pipeline.task import Task, TaskReport, covering_output, kept_rows


@dataclass
class ShardPlan:
    """One shard's way through the graph: which stages are to do, and where outputs stand."""

    shard: Shard
    graph: Graph
    todo: list[str]
    outputs: dict[str, list[str]]  # stage -> keys of its finished tables for this shard
    metadata: Mapping[str, str] = field(default_factory=dict)  # of every file written

    def next_task(self) -> Task | None:
        """Return the descriptor of the first stage to do, or None when the shard is finished."""
        if not self.todo:
            return None
        stage = self.graph.stages[self.todo[0]]
        stem = output_stem(self.graph, stage, self.shard)
        return Task(
            stage=stage.name,
            shard_id=self.shard.shard_id,
            recordings=self.shard.recordings,
            output=stem,
            inputs={n: tuple(self.outputs[n]) for n in self.graph.ancestors(stage.name)},
            covered=tuple(self.outputs[stage.name]) if stage.covers else (),
            metadata={**self.metadata, **stage.file_metadata},
        )

    def finish(self, report: TaskReport) -> None:
        """Record that the stage to do next is done."""
        self.todo.remove(report.stage)
        if report.output not in self.outputs[report.stage]:
            self.outputs[report.stage].append(report.output)


@dataclass
class Plan:
    """All shards; those with nothing to do have their target only."""

    graph: Graph
    shards: list[ShardPlan] = field(default_factory=list)

    @property
    def unfinished(self) -> list[ShardPlan]:
        """Shards with work, the longest first, so that workers end together."""
        pending = [s for s in self.shards if s.todo]
        return sorted(pending, key=lambda s: (-s.shard.duration_ms, s.shard.shard_id))

    def todo_ms(self, stage: str) -> int:
        return sum(s.shard.duration_ms for s in self.shards if stage in s.todo)

    def todo_shards(self, stage: str) -> int:
        return sum(stage in s.todo for s in self.shards)


def output_stem(graph: Graph, stage: Stage, shard: Shard) -> str:
    """Return the key of a stage's output for a shard (a covering stage adds a hash of ids)."""
    by_label = stage.name in graph.label_dependent
    digest = shard.label_digest if by_label else shard.member_digest
    return f"stages/{stage.name}/{graph.fingerprints[stage.name]}/{shard.shard_id}-{digest}"


def make_plan(
    graph: Graph,
    shards: Sequence[Shard],
    store: Store,
    metadata: Mapping[str, str] | None = None,
) -> Plan:
    """Compare what the graph wants with what the store has, by file names alone.

    Each stage's folder is listed once. Only for shards whose target is missing while their
    verdict exists are verdict rows read, to see whether all that is kept is covered.
    """
    listings = {
        stage.name: _finished(store, f"stages/{stage.name}/{graph.fingerprints[stage.name]}")
        for stage in graph.stages.values()
    }
    plan = Plan(graph)
    for shard in shards:
        outputs = {
            stage.name: list(listings[stage.name].get(output_stem(graph, stage, shard), []))
            for stage in graph.stages.values()
        }
        todo = _todo(graph, shard, store, outputs)
        plan.shards.append(ShardPlan(shard, graph, todo, outputs, metadata or {}))
    return plan


def _finished(store: Store, folder: str) -> dict[str, list[str]]:
    """Return the outputs in a folder by shard and digest: `stem -> keys`, without `.parquet`."""
    found: dict[str, list[str]] = {}
    for name in sorted(store.names(folder)):
        if name.endswith(".parquet") and not name.endswith(".errors.parquet"):
            key = name.removesuffix(".parquet")
            stem = "-".join(key.split("-")[:2])
            found.setdefault(f"{folder}/{stem}", []).append(f"{folder}/{key}")
    return found


def _todo(graph: Graph, shard: Shard, store: Store, outputs: dict[str, list[str]]) -> list[str]:
    if outputs[graph.target.name]:
        return []
    return [
        stage.name
        for stage in graph.stages.values()
        if not _is_done(graph, stage, shard, store, outputs)
    ]


def _is_done(
    graph: Graph, stage: Stage, shard: Shard, store: Store, outputs: dict[str, list[str]]
) -> bool:
    if stage.covers is None:
        return bool(outputs[stage.name])
    if not outputs[stage.covers]:
        return False
    kept = kept_rows(store, outputs[stage.covers][0], [r.recording_id for r in shard.recordings])
    return covering_output(output_stem(graph, stage, shard), kept) in outputs[stage.name]
