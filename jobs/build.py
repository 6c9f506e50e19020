"""From sources to a plan, and from a plan to a snapshot: what every job of a build shares."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs import version
from manifests.cache import HashCache
from manifests.recording import Sources
from manifests.scan import scan_sources
from pipeline.curation import Config, config_digest, make_graph
from pipeline.execution.events import Event
from pipeline.execution.inline import run_inline
from pipeline.plan import Plan, make_plan
from pipeline.shard import MEMBERS_SCHEMA, Member, assign_shards
from pipeline.snapshots import Snapshot, latest_snapshot, write_snapshot
from pipeline.store import Store

MEMBERS = "manifest/members.parquet"
HASH_CACHE = "manifest/hash-cache.parquet"
PROBE_VERSION = "1"  # raise it when probing changes: files that failed are then looked at again


@dataclass
class Build:
    """A prepared build: what there is, and what is to do."""

    store: Store
    config: Config
    sources: Sources
    members: list[Member]
    plan: Plan


def prepare(
    sources: Sequence[str],
    out: Path,
    config: Config,
    progress: Callable[[int, int | None], None] | None = None,
) -> Build:
    """Scan the sources and compare them with the WORKDIR; only the hash cache is written.

    Raises SourceNotFound for a source that does not exist, EngineUnavailable when the weights
    of an engine cannot be identified, ValueError for execution groups that do not fit.
    """
    from stages.audio.decode import probe  # brings in FFmpeg: not for --help

    store = Store(out)
    cache = HashCache.load(store.path(HASH_CACHE), PROBE_VERSION)
    found = scan_sources(sources, probe, cache, progress)
    shards, members = assign_shards(found.recordings, _known_members(store), config.shard_seconds)
    latest, graph = latest_snapshot(store), make_graph(config)
    metadata = {
        "wavemill.version": version(),
        "wavemill.snapshot": f"{latest.number + 1 if latest else 1:06d}",
        "wavemill.fingerprints": json.dumps(graph.fingerprints),
    }
    plan = make_plan(graph, shards, store, metadata)
    return Build(store, config, found, members, plan)


def execute(build: Build) -> Iterator[Event]:
    """Remember the shards, then run what is to do; yields what happens, as it happens."""
    _remember(build.store, build.members)
    if not build.plan.unfinished:
        return
    graph_maker = partial(make_graph, build.config)
    execution = build.config.execution
    if execution.executor == "inline":
        yield from run_inline(build.plan, graph_maker, build.store)
    else:
        from pipeline.execution.on_ray import run_on_ray  # Ray only where there is work

        yield from run_on_ray(build.plan, graph_maker, build.store, execution)


def publish(build: Build) -> Snapshot:
    """Make the finished build the newest snapshot (the same one, if nothing changed)."""
    return write_snapshot(
        build.store, build.plan, build.sources.errors, config_digest(build.config), version()
    )


def _known_members(store: Store) -> list[Member]:
    if not store.exists(MEMBERS):
        return []
    return [Member(**row) for row in pq.read_table(store.path(MEMBERS)).to_pylist()]


def _remember(store: Store, members: Sequence[Member]) -> None:
    rows = [{name: getattr(member, name) for name in MEMBERS_SCHEMA.names} for member in members]
    store.write_table(MEMBERS, pa.Table.from_pylist(rows, schema=MEMBERS_SCHEMA))
