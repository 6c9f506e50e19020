"""A new snapshot without the withdrawn recordings, made without looking at the sources."""

from __future__ import annotations

import pyarrow.compute as pc

from wavemill.manifests.recording import SourceError, Sources
from wavemill.pipeline.build import Build, make_plan, publish
from wavemill.pipeline.catalogue import CATALOGUE, Catalogue
from wavemill.pipeline.config import ConfigError, config_from
from wavemill.pipeline.curation import Config
from wavemill.pipeline.execution.events import TaskDone
from wavemill.pipeline.execution.inline import run_inline
from wavemill.pipeline.lock import Held
from wavemill.pipeline.snapshots import MANIFEST_STAGE, Snapshot, latest_snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import as_errors
from wavemill.pipeline.upkeep.difference import read_config
from wavemill.pipeline.upkeep.withdrawal import (
    ModelNeeded,
    active_recordings,
    check_no_model_has_work,
    without_models,
)
from wavemill.stages.engine import EngineUnavailable


class NotPublished(Exception):
    """The snapshot could not be made: says why, and what makes it."""


def publish_without_withdrawn(store: Store, held: Held) -> Snapshot | None:
    """Make the newest snapshot again without the withdrawn recordings; None if there is none.

    Only the cheap work is done of the shards that lost a recording. Raises NotPublished where that
    is not enough, and what `Held.confirm` and `publish` raise.
    """
    newest = latest_snapshot(store)
    if newest is None or not store.exists(CATALOGUE):
        return None  # there is no corpus that they could be in
    try:
        config = config_from(Config, read_config(store, newest))
        catalogue = Catalogue(store, active_recordings(store), config.shard_seconds)
        build = Build(store, config, _sources(store, newest), make_plan(store, config, catalogue))
        check_no_model_has_work(build.plan)
        _execute(build)
    except (LookupError, ModelNeeded, ConfigError, EngineUnavailable) as error:
        raise NotPublished(
            f"they are withdrawn, but the newest snapshot still names them: {error}; "
            f"wavemill refresh {store.root} makes one without them"
        ) from None
    held.confirm()
    return publish(build)


def _execute(build: Build) -> None:
    build.plan.catalogue.save()
    try:
        graph = without_models(build.plan.graph)
        for event in run_inline(build.plan, lambda: graph, build.store):
            if isinstance(event, TaskDone):
                build.plan.ledger.add(event.result)
    finally:
        build.plan.ledger.compact()


def _sources(store: Store, snapshot: Snapshot) -> Sources:
    """Return the errors that the last scan of the sources found."""
    table = store.read_table(f"{snapshot.folder}/errors.parquet")
    mine = table.filter(pc.field("stage") == MANIFEST_STAGE)
    names = ("source", "reason", "message")
    rows = as_errors(mine).to_pylist()
    return Sources(errors=[SourceError(*(row[n] for n in names)) for row in rows])
