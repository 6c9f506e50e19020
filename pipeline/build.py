"""From sources to a plan, and from a plan to a snapshot: `build_corpus`, and its parts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from wavemill.manifests.cache import HashCache
from wavemill.manifests.recording import SourceError, Sources
from wavemill.manifests.scan import scan_sources
from wavemill.manifests.table import recordings_table
from wavemill.pipeline.catalogue import Catalogue
from wavemill.pipeline.changes import changes
from wavemill.pipeline.corpora.splits import assign_splits
from wavemill.pipeline.curation import Config, decode_limits, make_graph, result_config
from wavemill.pipeline.digest import digest_of
from wavemill.pipeline.estimate import estimate, total_cpu_seconds
from wavemill.pipeline.execution.events import Event, ShardFailed, TaskDone
from wavemill.pipeline.execution.inline import run_inline
from wavemill.pipeline.execution.outputs import Outputs
from wavemill.pipeline.execution.settings import resolve_groups
from wavemill.pipeline.ledger import Ledger
from wavemill.pipeline.lock import Held, WorkdirBusy, locked
from wavemill.pipeline.output_key import errors_key
from wavemill.pipeline.parts import check_parts
from wavemill.pipeline.plan import Plan
from wavemill.pipeline.request import remember
from wavemill.pipeline.snapshots import (
    Snapshot,
    latest_snapshot,
    point_corpus_at,
    point_corpus_at_newest,
    write_snapshot,
)
from wavemill.pipeline.stage_times import StageTime, StageTimes
from wavemill.pipeline.store import Store
from wavemill.pipeline.summary import Summary, summarise
from wavemill.pipeline.task import failed_in, read_errors
from wavemill.pipeline.tombstones import known_of, read_tombstones
from wavemill.pipeline.upkeep.purge import finish_purge
from wavemill.pipeline.upkeep.repair import relink
from wavemill.pipeline.upkeep.withdrawal import purged_ids, without_withdrawn
from wavemill.pipeline.version import version
from wavemill.stages.recording_stage import PASSING_REASONS

ScanProgress = Callable[[int, int | None], None]
HASH_CACHE = "manifest/hash-cache.parquet"
PROBE_VERSION = "2"  # raise it when probing changes: all files are then looked at again


@dataclass
class Build:
    """A prepared build: what there is, and what is to do."""

    store: Store
    config: Config
    sources: Sources
    plan: Plan
    cache: HashCache = field(default_factory=HashCache)  # of the scan


def prepare(
    sources: Sequence[str],
    out: str,
    config: Config,
    progress: ScanProgress | None = None,
    retry_failed: bool = False,
    cache_lock: str | None = None,
) -> Build:
    """Scan the sources and compare them with the WORKDIR; only the hash cache is written.

    A command that does not hold the WORKDIR says its name as `cache_lock`: it takes the lock
    just to write the cache, and leaves the cache where another run has it.
    Recordings whose source could not be read the last time are taken as if they were new, with
    `retry_failed` all that are in the errors of a stage.
    Raises SourceNotFound for a source that does not exist, ConfigError for lost tombstones,
    EngineUnavailable when the weights of an engine cannot be identified, ValueError for
    execution groups that do not fit.
    """
    from wavemill.stages.audio.decode import probe  # brings in FFmpeg, which only a scan needs

    store = Store.open(out)
    _purged(store)  # tombstones that were lost are better known before the scan
    files = store if cache_lock is None else CacheUnderLock(store, cache_lock)
    limits = decode_limits(config)
    probing = f"{PROBE_VERSION} {digest_of(limits.model_dump(mode='json'))}"
    cache = HashCache.load(files, HASH_CACHE, probing, partial(_purged, store))
    found = scan_sources(sources, partial(probe, limits=limits), cache, progress, config.sources)
    recordings = without_withdrawn(store, recordings_table(found.recordings))
    if withdrawn := len(found.recordings) - recordings.num_rows:
        found.notes.append(f"recordings that were withdrawn and stay out: {withdrawn}")
    recordings, notes = assign_splits(recordings, config.splits)
    found.notes.extend(notes)
    catalogue = Catalogue(store, recordings, config.shard_seconds)
    plan = make_plan(store, config, catalogue)
    if failed := _to_retry(plan.errors(store), retry_failed):
        catalogue.renew(failed)
        plan = make_plan(store, config, catalogue)
    return Build(store, config, found, plan, cache)


@dataclass(frozen=True)
class CacheUnderLock:
    """The store for a hash cache that is written by a command which holds no lock otherwise."""

    store: Store
    command: str

    def open_file(self, key: str) -> pa.NativeFile:
        return self.store.open_file(key)

    def delete_all(self, keys: Iterable[str]) -> None:
        self.store.delete_all(keys)

    @contextmanager
    def replacing(self, key: str) -> Iterator[Path]:
        try:
            with locked(self.store, self.command), self.store.replacing(key) as path:
                yield path
        except WorkdirBusy as error:
            raise OSError(str(error)) from error


def _purged(store: Store) -> frozenset[str]:
    """Return the recordings whose names are to be kept nowhere."""
    return frozenset(purged_ids(store).to_pylist())


class Watcher:
    """Gets told how a build goes. This one ignores it; a command line shows it."""

    def note(self, text: str) -> None:
        """Something that a person should know, in one line."""

    def scanning(self) -> AbstractContextManager[ScanProgress | None]:
        """Surround the scan; gives a function of files that were seen, and of all, if known."""
        return nullcontext()

    def building(
        self,
        plan: Plan,  # noqa: ARG002
    ) -> AbstractContextManager[Callable[[Event], object]]:
        """Surround the work; gives a function that gets every event."""
        return nullcontext(lambda _event: None)


class ShardsGivenUp(Exception):
    """Some shards could not be completed; nothing was published, and the same call goes on."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"{count} shards were given up, so the corpus stays as it was. "
            "The same command goes on with them."
        )


@dataclass(frozen=True)
class Built:
    """What came of `build_corpus`."""

    snapshot: Snapshot
    summary: Summary
    computed: int  # recordings that there was something to do for
    seconds: float  # that the work took, without the scan
    stages: tuple[StageTime, ...] = ()  # what the workers did in that time


def build_corpus(
    sources: Sequence[str],
    out: str,
    config: Config,
    command: str,
    watcher: Watcher | None = None,
    retry_failed: bool = False,
) -> Built:
    """Scan the sources, compute what is missing, and make it the newest snapshot of `out`.

    `command` is what the lock of the WORKDIR says of this run. Raises what `prepare` raises,
    EngineUnavailable, ShardsGivenUp, WorkdirBusy while another run has the WORKDIR, and
    RunStopped where a person must act (a full disk, say).
    """
    watcher = watcher or Watcher()
    store = Store.open(out)
    with hold(store, command, watcher.note) as held:
        with watcher.scanning() as progress:
            build = prepare(sources, out, config, progress, retry_failed)
        for note in (*build.sources.notes, *changes(build.plan, store)):
            watcher.note(note)
        check_engines(build.plan)
        remember(store, sources, config.model_dump(mode="json"), version())
        pending = build.plan.pending_recordings()
        started = time.perf_counter()
        failures, times = 0, StageTimes()
        with watcher.building(build.plan) as listen:
            for event in execute(build):
                held.check()
                listen(event)
                times.add(event)
                failures += isinstance(event, ShardFailed)
        if failures:
            raise ShardsGivenUp(failures)
        held.confirm()
        snapshot = publish(build)
    summary = summarise(store, snapshot, pending)
    seconds = time.perf_counter() - started
    return Built(snapshot, summary, pending.num_rows, seconds, times.all())


@contextmanager
def hold(
    store: Store, command: str, note: Callable[[str], None], finishing: bool = True
) -> Iterator[Held]:
    """Hold the WORKDIR's lock; `note` is told if it was a dead run's. Raises WorkdirBusy.

    With `finishing`, `finish_interrupted` is done first.
    """
    with locked(store, command, note) as held:
        if finishing:
            finish_interrupted(store, note)
        yield held


def finish_interrupted(store: Store, note: Callable[[str], None]) -> None:
    """Finish what a run that died had begun to publish, or to purge."""
    point_corpus_at_newest(store)
    if finish_purge(store, datetime.now(UTC).isoformat(timespec="seconds")):
        note("finished a purge that had been interrupted")


def check_engines(plan: Plan) -> None:
    """Raise EngineUnavailable when an engine that has work cannot load."""
    for load in plan.loads():
        check = plan.graph.stages[load.stage].check
        if load.shards and check is not None:
            check()


def execute(build: Build) -> Iterator[Event]:
    """Remember the shards, then run what is to do; yields what happens, as it happens.

    Raises EngineUnavailable before anything is written when an engine with work cannot load, and
    ProgramFault where everything fails in a stage by the same fault of the program.
    """
    check_engines(build.plan)
    build.plan.catalogue.save()
    if not build.plan.pending:
        return
    gpus = _gpus(build)
    outputs = Outputs(build.store, build.plan.ledger)
    try:
        for event in _run(build):
            if isinstance(event, TaskDone):
                outputs.add(event.result, gpus[event.result.stage])
                if event.result.errors:
                    _forget_changed(build, event.result.output)
            yield event
        outputs.end()
    finally:
        build.plan.ledger.compact()
        build.cache.save()


def _forget_changed(build: Build, output: str) -> None:
    """Have the next scan read the files anew that were not what this one's had found."""
    for row in read_errors(build.store, errors_key(output)).to_pylist():
        if row["reason"] in PASSING_REASONS:
            build.cache.forget(row["source"])


def publish(build: Build) -> Snapshot:
    """Make the finished build the newest snapshot (the same one, if nothing changed).

    Raises WorkdirDamaged where something is not what the stages wrote.
    """
    store, errors = build.store, build.sources.errors
    latest = latest_snapshot(store)
    if latest is not None and build.plan.is_published(_published(store, latest, errors)):
        point_corpus_at(store, latest)
        relink(store)
        return latest
    check_parts(store, build.plan)
    config = result_config(build.config)
    snapshot = write_snapshot(store, build.plan, errors, config, version())
    build.plan.remember_finished(store, _published(store, snapshot, errors))
    relink(store)
    return snapshot


def _published(store: Store, snapshot: Snapshot, errors: Sequence[SourceError]) -> str:
    """Return a digest of a snapshot and of what went into it beside the plan."""
    tombstones = known_of(read_tombstones(store))
    lines = sorted(f"{e.source}\t{e.reason}\t{e.message}" for e in errors)
    return digest_of([snapshot.content, snapshot.number, tombstones.sha256, lines])


def make_plan(store: Store, config: Config, catalogue: Catalogue) -> Plan:
    """Raises EngineUnavailable when the weights of an engine cannot be identified."""
    latest, graph = latest_snapshot(store), make_graph(config, catalogue.has_conversations)
    metadata = {
        "wavemill.version": version(),
        "wavemill.snapshot": f"{latest.number + 1 if latest else 1:06d}",
        "wavemill.fingerprints": json.dumps(graph.fingerprints),
    }
    return Plan(graph, catalogue, Ledger(store), metadata)


def _run(build: Build) -> Iterator[Event]:
    graph_maker = partial(make_graph, build.config, build.plan.catalogue.has_conversations)
    execution = build.config.execution
    if execution.executor == "inline" or _is_light(build):
        yield from run_inline(build.plan, graph_maker, build.store, execution.piece_seconds)
    else:
        from wavemill.pipeline.execution.on_ray import run_on_ray  # Ray only where there is work

        yield from run_on_ray(build.plan, graph_maker, build.store, execution)


def _is_light(build: Build) -> bool:
    """Whether starting workers would take longer than the work: a moved threshold, say.

    Only work without engines and decoding counts, and what it adds to stages that the verdict
    selects: no new audio is touched, so nothing can crash that a worker's supervisor would catch.
    """
    execution = build.config.execution
    if execution.address is not None:
        return False
    for load in build.plan.loads():
        needs_worker = build.plan.graph.stages[load.stage].needs_worker
        if needs_worker and load.shards > load.additions:
            return False
    seconds = total_cpu_seconds(estimate(build.plan))
    return seconds is not None and seconds < execution.inline_below_s


def _to_retry(errors: pa.Table, all_of_them: bool) -> list[str]:
    """Return the recordings that failed, or those whose error may have passed."""
    if not all_of_them:
        errors = errors.filter(pc.is_in(errors["reason"], pa.array(sorted(PASSING_REASONS))))
    return sorted(failed_in(errors))


def _gpus(build: Build) -> dict[str, float]:
    """Return how many GPUs a worker of each stage holds."""
    execution = build.config.execution
    groups = resolve_groups(execution, list(build.plan.graph.stages))
    if execution.executor == "inline":
        return dict.fromkeys(build.plan.graph.stages, 0.0)
    return {
        stage: execution.groups[name].num_gpus
        for name, stages in groups.items()
        for stage in stages
    }
