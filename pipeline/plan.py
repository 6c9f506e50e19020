"""What is there and what is to do: the stages of every shard, by a join with the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from wavemill.manifests.recording import Recording
from wavemill.manifests.table import SCHEMA as RECORDINGS
from wavemill.manifests.table import recordings_from_table
from wavemill.pipeline.catalogue import Catalogue
from wavemill.pipeline.damage import Recorded
from wavemill.pipeline.finished import SHARDS, Finished
from wavemill.pipeline.graph import ConfiguredStage, Graph
from wavemill.pipeline.ledger import LAST_OF_OUTPUT, Ledger
from wavemill.pipeline.output_key import OutputKey, errors_key, stem_sql, table_key, with_kept_sql
from wavemill.pipeline.shard import Shard
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import ERRORS_SCHEMA, Task, TaskResult, as_errors

SHARDS_AT_ONCE = 256  # made into objects at a time


@dataclass
class ShardPlan:
    """One shard's way through the graph: which stages are to do, and where outputs stand."""

    shard: Shard
    graph: Graph
    todo: list[str]
    outputs: dict[str, list[str]]  # stage -> keys of its finished tables for this shard
    with_errors: set[str] = field(default_factory=set)  # those that have an errors table
    recorded: dict[str, Recorded] = field(default_factory=dict)  # key of a file -> the ledger's
    metadata: Mapping[str, str] = field(default_factory=dict)  # of every file written

    def next_task(self) -> Task | None:
        """Return the descriptor of the first stage to do, or None when the shard is finished."""
        if not self.todo:
            return None
        stage = self.graph.stages[self.todo[0]]
        inputs = {name: tuple(self.outputs[name]) for name in self.graph.ancestors(stage.name)}
        written = tuple(self.outputs[stage.name]) if stage.selected_by else ()
        read = {key for keys in (*inputs.values(), written) for key in keys}
        files = [name(key) for key in read for name in (table_key, errors_key)]
        return Task(
            stage=stage.name,
            shard_id=self.shard.shard_id,
            recordings=self.shard.recordings,
            output=stem_of(self.graph, stage, self.shard.shard_id, self.shard.label_digest),
            inputs=inputs,
            written=written,
            with_errors=tuple(
                key for keys in inputs.values() for key in keys if key in self.with_errors
            ),
            recorded={key: self.recorded[key] for key in files if key in self.recorded},
            selects=stage.name in self.graph.selecting,
            metadata={**self.metadata, **stage.file_metadata},
        )

    def finish(self, result: TaskResult) -> None:
        """Record that the stage to do next is done."""
        self.todo.remove(result.stage)
        if result.output not in self.outputs[result.stage]:
            self.outputs[result.stage].append(result.output)
        if result.errors:
            self.with_errors.add(result.output)
        self.recorded.update(
            _recorded(result.output, result.bytes, result.sha256, result.errors_sha256)
        )


@dataclass(frozen=True)
class StageLoad:
    """What a stage has to do in a plan."""

    stage: str
    shards: int = 0
    audio_ms: int = 0  # of `shards`
    done: int = 0  # shards that need no work
    additions: int = 0  # those of `shards` that only lack what becomes kept, perhaps nothing


class Plan:
    """Which shards lack which stages. Shards become objects only when they are worked on."""

    def __init__(
        self,
        graph: Graph,
        catalogue: Catalogue,
        ledger: Ledger,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.graph, self.catalogue, self.ledger = graph, catalogue, ledger
        self._metadata = metadata or {}
        self._database = catalogue.database
        self._was_finished = self._known_as_finished()
        self._loads: list[StageLoad] | None = None
        self._find_todo()

    @property
    def pending(self) -> int:
        """How many shards have work."""
        return self._count("select count(distinct shard_id) from todo")

    def pending_recordings(self) -> pa.Table:
        """Return the recordings of those shards (`recording_id`)."""
        query = "select recording_id from members semi join todo using (shard_id) where active"
        return self._database.sql(query).to_arrow_table()

    def recomputed(self, stages: Sequence[str], published: pa.Table) -> tuple[int, int]:
        """Return how many recordings of `published` (recording_id) these stages have to do.

        And their duration in ms.
        """
        self._database.register("published", published)
        self._database.register("asked", pa.table({"stage": pa.array(stages, pa.string())}))
        query = (
            "select count(*), coalesce(sum(duration_ms), 0)::bigint from today semi join ("
            "select recording_id from members semi join (from todo semi join asked using (stage)) "
            "using (shard_id) where active) using (recording_id) "
            "semi join published using (recording_id)"
        )
        count, audio_ms = self._database.execute(query).fetchall()[0]
        return count, audio_ms

    @property
    def shards(self) -> int:
        return self._count("select count(*) from shards")

    def loads(self) -> list[StageLoad]:
        """Return what each stage has to do, in build order."""
        if self._loads is None:
            self._loads = [self._load(stage) for stage in self.graph.stages.values()]
        return list(self._loads)

    def _load(self, stage: ConfiguredStage) -> StageLoad:
        near = f"{self._stem(stage)} in (select stem from ledger_near)"
        begun = near if stage.selected_by else "false"
        query = (
            f"select count(*), coalesce(sum(duration_ms), 0)::bigint, "
            f"count(*) filter ({begun}) from shards "
            f"semi join (from todo where stage = '{stage.name}') using (shard_id)"
        )
        shards, audio_ms, additions = self._database.execute(query).fetchall()[0]
        wanted = self._count(f"select count(*) from shards where {_wanted(stage)}")
        return StageLoad(stage.name, shards, audio_ms, wanted - shards, additions)

    def unfinished(self) -> Iterator[ShardPlan]:
        """Yield the shards with work, the longest first, so that workers end together."""
        self._find_begun()
        order = self._database.sql(
            "select shard_id from shards semi join todo using (shard_id) "
            "order by duration_ms desc, shard_id"
        ).fetchall()
        for first in range(0, len(order), SHARDS_AT_ONCE):
            yield from self._shard_plans([row[0] for row in order[first : first + SHARDS_AT_ONCE]])

    def outputs(self) -> pa.Table:
        """Return the ledger's rows of all finished outputs of the plan's shards."""
        self.ledger.show(self._database)
        query = f"select l.* from ledger l semi join ({self._stems()}) w using (stem)"
        return self._database.sql(query).to_arrow_table()

    def errors(self, store: Store) -> pa.Table:
        """Return the errors (ERRORS_SCHEMA) of all finished stages, each of a recording that is
        still in the shard in which it failed."""
        shards = self.ledger.shards_with_errors()
        self._database.register("with_errors", pa.table({"shard_id": shards}))
        columns = ("shard_id", "stem", "output", "errors", "finished_ms")
        self._database.register("failed_rows", self.ledger.rows_of_shards(shards, columns))
        rows = self._database.execute(
            f"select shard_id, output from (from failed_rows {LAST_OF_OUTPUT}) "
            f"semi join ({self._stems('shards semi join with_errors using (shard_id)')}) w "
            "using (stem) where errors > 0"
        ).fetchall()
        found = store.read_tables(errors_key(output) for _, output in rows)
        tables = [ERRORS_SCHEMA.empty_table(), *map(as_errors, found)]
        of_shards = [
            shard for (shard, _), table in zip(rows, found, strict=True) for _ in range(len(table))
        ]
        errors = pa.concat_tables(tables)
        self._database.register(
            "failures", errors.append_column("shard_id", pa.array(of_shards, pa.string()))
        )
        query = "from failures semi join (from members where active) using (shard_id, recording_id)"
        return (
            self._database.sql(query)
            .to_arrow_table()
            .select(errors.column_names)
            .cast(ERRORS_SCHEMA)
        )

    def is_published(self, published: str) -> bool:
        """Whether there is nothing in the plan that was not there when `published` was written.

        `published` is what `remember_finished` was given.
        """
        finished = self.catalogue.finished
        known = finished.holds_for(self.graph.digest, self.ledger.files())
        same = finished.catalogue == self.catalogue.mark != ""
        return known and same and finished.published == published and not self.pending

    def remember_finished(self, store: Store, published: str = "") -> None:
        """Write down which shards have all their outputs, for the next plan.

        The catalogue must have been saved, and the outputs be in the ledger. `published` is a
        digest of the snapshot that was made of the plan and of what else it was made of.
        """
        if self.is_published(published):
            return
        ledger = self.ledger.files()
        self._find_todo()
        shards = self._database.sql("from shards anti join todo using (shard_id)").to_arrow_table()
        mark, graph = self.catalogue.mark, self.graph.digest
        Finished(shards, mark, graph, ledger, published).write(store)

    def _known_as_finished(self) -> pa.Table:
        """Return the shards that were found to be finished for this graph (SHARDS)."""
        finished = self.catalogue.finished
        holds = finished.holds_for(self.graph.digest, self.ledger.files())
        return finished.shards if holds else SHARDS.empty_table()

    def _find_todo(self) -> None:
        """Make the table `todo` (shard_id, stage): everything that a lacking corpus needs."""
        self._database.register("finished", self._was_finished)
        self._database.execute(
            "create or replace table unknown as "
            "from shards anti join finished using (shard_id, label_digest)"
        )
        # What is unknown is mostly little, so that the ledger's other rows need not be compared.
        ids = self._database.sql("select shard_id from unknown").to_arrow_table()["shard_id"]
        columns = ("stage", "fingerprint", "shard_id", "stem", "output", "kept")
        rows = self.ledger.rows_of_shards(ids.combine_chunks(), columns)
        self._database.register("rows", rows)
        self._database.execute("create or replace table ledger_near as from rows")
        self._database.unregister("rows")
        lacking = " or ".join(
            f"({_wanted(stage)} and not {self._is_done(stage)})" for stage in self.graph.corpora
        )
        self._database.execute(
            f"create or replace table lacking as from unknown shards where {lacking or 'false'}"
        )
        parts = [
            f"select shard_id, '{stage.name}' as stage from lacking shards "
            f"where {_wanted(stage)} and not {self._is_done(stage)}"
            for stage in self.graph.stages.values()
        ]
        self._database.execute(f"create or replace table todo as {' union all '.join(parts)}")

    def _find_begun(self) -> None:
        """Make the table `begun`: the ledger's rows of the shards with work."""
        todo = self._database.sql("select distinct shard_id from todo").to_arrow_table()
        columns = ("stem", "output", "errors", "bytes", "sha256", "errors_sha256", "shard_id")
        rows = self.ledger.rows_of_shards(
            todo["shard_id"].combine_chunks(), (*columns, "finished_ms")
        )
        self._database.register("rows", rows)
        self._database.execute(
            f"create or replace table begun as select {', '.join(columns)} from rows "
            f"{LAST_OF_OUTPUT}"
        )
        self._database.unregister("rows")

    def _is_done(self, stage: ConfiguredStage) -> str:
        """SQL: whether the shard's output of a stage is in the ledger."""
        stem = self._stem(stage)
        if stage.selected_by is None:
            return f"{stem} in (select stem from ledger_near where stage = '{stage.name}')"
        selecting = self._stem(self.graph.stages[stage.selected_by])
        return (
            f"{selecting} in (select v.stem from ledger_near v join ledger_near c "
            f"on c.shard_id = v.shard_id and c.output = {with_kept_sql('c.stem', 'v.kept')} "
            f"where v.stage = '{stage.selected_by}' and c.stage = '{stage.name}' "
            f"and c.fingerprint = '{self.graph.fingerprints[stage.name]}')"
        )

    def _stem(self, stage: ConfiguredStage) -> str:
        """SQL: the key that `stem_of` gives."""
        label = "label_digest" if stage.name in self.graph.label_dependent else None
        fingerprint = self.graph.fingerprints[stage.name]
        return stem_sql(stage.name, fingerprint, "shards.shard_id", label)

    def _stems(self, shards: str = "shards") -> str:
        """SQL: the stems of all stages of all shards, or of some."""
        return " union all ".join(
            f"select {self._stem(stage)} as stem from (from {shards}) shards where {_wanted(stage)}"
            for stage in self.graph.stages.values()
        )

    def _shard_plans(self, shard_ids: list[str]) -> Iterator[ShardPlan]:
        self._database.register("batch", pa.table({"shard_id": pa.array(shard_ids, pa.string())}))
        recordings = self._recordings_of_batch()
        rows = self._database.execute(
            "select shard_id, label_digest, duration_ms, list(stage) from shards "
            "semi join batch using (shard_id) join todo using (shard_id) group by all"
        ).fetchall()
        shards = {row[0]: row for row in rows}
        outputs: dict[str, list[_Begun]] = {}
        for stem, *row in self._database.execute(
            "select stem, output, errors, bytes, sha256, errors_sha256 from begun "
            "semi join batch using (shard_id) order by output"
        ).fetchall():
            outputs.setdefault(stem, []).append(_Begun(*row))
        for shard_id in shard_ids:
            _, label_digest, duration_ms, todo = shards[shard_id]
            shard = Shard(shard_id, label_digest, duration_ms, tuple(recordings[shard_id]))
            yield self._shard_plan(shard, set(todo), outputs)

    def _recordings_of_batch(self) -> dict[str, list[Recording]]:
        """Return the recordings of the shards in the table `batch`, by shard, sorted by id."""
        query = (
            "select m.shard_id, t.* from members m semi join batch using (shard_id) "
            "join today t using (recording_id) where m.active order by t.recording_id"
        )
        table = self._database.sql(query).to_arrow_table()
        found: dict[str, list[Recording]] = {}
        recordings = recordings_from_table(table.select(RECORDINGS.names))
        for shard_id, recording in zip(table["shard_id"].to_pylist(), recordings, strict=True):
            found.setdefault(shard_id, []).append(recording)
        return found

    def _shard_plan(
        self, shard: Shard, todo: set[str], ledger: Mapping[str, list[_Begun]]
    ) -> ShardPlan:
        outputs: dict[str, list[str]] = {}
        with_errors: set[str] = set()
        recorded: dict[str, Recorded] = {}
        for stage in self.graph.stages.values():
            stem = stem_of(self.graph, stage, shard.shard_id, shard.label_digest)
            rows = ledger.get(stem, [])
            outputs[stage.name] = [row.output for row in rows]
            with_errors.update(row.output for row in rows if row.errors)
            for row in rows:
                recorded.update(_recorded(row.output, row.bytes, row.sha256, row.errors_sha256))
        ordered = [name for name in self.graph.stages if name in todo]
        return ShardPlan(shard, self.graph, ordered, outputs, with_errors, recorded, self._metadata)

    def _count(self, query: str) -> int:
        return int(self._database.execute(query).fetchall()[0][0])


class _Begun(NamedTuple):
    """The ledger's row of an output."""

    output: str
    errors: int
    bytes: int
    sha256: str
    errors_sha256: str | None


def _recorded(
    output: str, size: int, sha256: str, errors_sha256: str | None
) -> Iterator[tuple[str, Recorded]]:
    """Yield the keys of an output's files, with what the ledger says of them."""
    yield table_key(output), Recorded(sha256, size)
    if errors_sha256 is not None:
        yield errors_key(output), Recorded(errors_sha256)


def stem_of(graph: Graph, stage: ConfiguredStage, shard_id: str, label_digest: str) -> str:
    """Return the key of a stage's output for a shard (a selected stage adds a hash of ids)."""
    digests = (label_digest,) if stage.name in graph.label_dependent else ()
    return str(OutputKey(stage.name, graph.fingerprints[stage.name], shard_id, digests))


def _wanted(stage: ConfiguredStage) -> str:
    """SQL: whether a shard needs a stage at all."""
    if stage.written:
        return "written"
    return "labelled and not written" if stage.labelled_only else "not written"
