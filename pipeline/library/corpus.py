"""Building a corpus and reading one, in Python."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from pyarrow import dataset

from wavemill.manifests.filesystems import anchored
from wavemill.pipeline.build import Watcher, build_corpus
from wavemill.pipeline.config import ConfigError, load_config
from wavemill.pipeline.curation import Config
from wavemill.pipeline.quality.database import create_views, has_conversations
from wavemill.pipeline.quality.spoken import conversation_clips
from wavemill.pipeline.snapshots import Snapshot, all_snapshots
from wavemill.pipeline.store import Store
from wavemill.pipeline.version import version
from wavemill.stages.augment.stage import CLEAN, clips_of

if TYPE_CHECKING:
    import datasets

Place = str | os.PathLike[str]


def curate(
    sources: Place | Sequence[Place],
    out: Place,
    *,
    profile: str = "embedded",
    config: Place | Mapping[str, Any] | None = None,
    executor: str | None = None,
    workers: int | None = None,
    address: str | None = None,
    retry_failed: bool = False,
    watcher: Watcher | None = None,
) -> Workdir:
    """Turn recordings into a corpus below `out`, as `wavemill curate` does; return its WORKDIR.

    `sources` are folders, recordings, manifests and tar files, by path or URL. `config` has the
    fields that differ from the profile: a YAML file, or a mapping whose keys are names of fields
    such as "diarize.max_segment_ms", or sections. `executor` is "ray" (the default) or "inline",
    which starts no process. A `watcher` is told how it goes. Call it again after a crash, with
    more recordings or with another `config`: it computes what is missing.

    Raises ConfigError, SourceNotFound, EngineUnavailable, WorkdirBusy, ShardsGivenUp, RunStopped;
    the text of each says what to do.
    """
    places = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    named = {"executor": executor, "workers": workers, "address": address}
    overrides = [f"execution.{key}={value}" for key, value in named.items() if value is not None]
    file = None
    if isinstance(config, Mapping):
        overrides = [f"{key}={json.dumps(value)}" for key, value in config.items()] + overrides
    elif config is not None:
        file = Path(config)
    settings: Any = load_config(Config, profile, file, overrides)
    place = anchored(os.fspath(out))
    build_corpus(
        [anchored(os.fspath(one)) for one in places],
        place,
        settings,
        "wavemill.curate",
        watcher,
        retry_failed,
    )
    return open_workdir(place)


def open_workdir(place: Place, snapshot: int | None = None) -> Workdir:
    """Open a snapshot of a WORKDIR, by path or URL: the newest one, or that of a number.

    Nothing is read but the descriptions of its snapshots, and nothing is written. What was opened
    stays that snapshot, whatever is built meanwhile. Raises ConfigError where there is no such
    snapshot, and WorkdirDamaged.
    """
    store = Store.open(anchored(os.fspath(place)))
    found = {one.number: one for one in all_snapshots(store)}
    if not found:
        raise ConfigError(f"{store.root} holds no snapshot; wavemill curate makes one")
    number = max(found) if snapshot is None else snapshot
    if number not in found:
        there = ", ".join(map(str, found))
        raise ConfigError(f"{store.root} has no snapshot {number}; there are: {there}")
    return Workdir(store, found[number])


@dataclass(frozen=True)
class Workdir:
    """A snapshot of a WORKDIR, to be read. A context manager: leaving it closes the database."""

    store: Store
    snapshot: Snapshot

    @property
    def number(self) -> int:
        """Return the number of the snapshot."""
        return self.snapshot.number

    @property
    def corpora(self) -> tuple[str, ...]:
        """Return the names of the corpora that have rows: pretrain, sft."""
        return tuple(name for name, rows in self.snapshot.rows.items() if rows)

    @property
    def tables(self) -> tuple[str, ...]:
        """Return what `table` knows, as `wavemill report` puts it into quality.duckdb."""
        shown = self.database.sql("select table_name from information_schema.tables where "
                                  "table_schema = 'main' order by all").fetchall()  # fmt: skip
        return tuple(name for (name,) in shown)

    @cached_property
    def database(self) -> duckdb.DuckDBPyConnection:
        """A connection with all views, in memory: for SQL of your own."""
        connection = duckdb.connect()
        create_views(connection, self.store, self.snapshot, version())
        return connection

    def table(self, name: str) -> duckdb.DuckDBPyRelation:
        """Return a view as a lazy DuckDB relation: nothing is read before you ask for rows.

        `.df()`, `.pl()` and `.to_arrow_table()` read it, `.filter("...")` narrows it. Raises
        ConfigError for a name that is none.
        """
        if name not in self.tables:
            raise ConfigError(f"there is no table {name!r}; there are {', '.join(self.tables)}")
        return self.database.table(name)

    @property
    def segments(self) -> duckdb.DuckDBPyRelation:
        """All segments with text, scores and verdict, kept or not; without their audio."""
        return self.table("segments")

    @property
    def accounting(self) -> duckdb.DuckDBPyRelation:
        """What became of every millisecond of each recording."""
        return self.table("accounting")

    def corpus(self, name: str = "pretrain") -> dataset.Dataset:
        """Return a corpus as an Arrow dataset, with its audio; rows are read as you ask for them.

        Raises ConfigError for a corpus that has no rows.
        """
        keys, store = self._parts(name), self.store
        paths = [str(store.path(key)) if store.local else f"{store.base}/{key}" for key in keys]
        return dataset.dataset(paths, filesystem=store.filesystem, format="parquet")

    def dataset(self, name: str = "pretrain", decode: bool = False) -> datasets.Dataset:
        """Return a corpus as a `datasets.Dataset`.

        Audio stays the bytes of a file, which `wavemill.waveform` takes; with `decode`, `datasets`
        decodes it, which needs torchcodec and FFmpeg's libraries. Needs the package `datasets`. A
        WORKDIR in an object store is copied to memory. Raises ConfigError for a corpus that has no
        rows.
        """
        from datasets import Dataset

        keys = self._parts(name)
        if self.store.local:
            made = Dataset.from_parquet([str(self.store.path(key)) for key in keys])
        else:
            made = Dataset(pa.concat_tables([self.store.read_table(key) for key in keys]))
        return made if decode else made.cast(_undecoded(made.features))

    def clip(self, clip_id: str) -> bytes:
        """Return a message of a spoken conversation as it was spoken: a FLAC file.

        It is without what `augment` has added. `clip_id` is that of the view `clips`. Raises
        ConfigError for one that is not there.
        """
        query = "select distinct recording_id, shard_id from base.cast where segment_id = ?"
        where = (
            []
            if not has_conversations(self.snapshot)
            else (self.database.execute(query, [clip_id]).fetchall())
        )
        for recording_id, shard_id in where:
            with conversation_clips(self.store, self.snapshot, recording_id, shard_id) as upstream:
                if (found := clips_of(upstream, CLEAN).get(clip_id)) is not None:
                    return found[0]
        raise ConfigError(f"there is no clip {clip_id!r}; the view `clips` has their ids")

    def close(self) -> None:
        """Close the database, if anything was asked of it."""
        if "database" in self.__dict__:
            self.database.close()

    def __enter__(self) -> Workdir:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<wavemill.Workdir {self.store.root}, snapshot {self.number}>"

    def _parts(self, name: str) -> list[str]:
        if name not in self.corpora:
            there = ", ".join(self.corpora) or "none with rows"
            raise ConfigError(f"snapshot {self.number} has no corpus {name!r}; there are: {there}")
        folder = f"{self.snapshot.folder}/{name}"
        return [f"{folder}/{part}" for part in sorted(self.store.names(folder))]


def _undecoded(feature: Any) -> Any:
    """Return features of `datasets` whose audio is left as it is stored."""
    from datasets import Audio, List

    if isinstance(feature, Audio):
        return Audio(decode=False)
    if isinstance(feature, dict):
        return type(feature)({name: _undecoded(one) for name, one in feature.items()})
    if isinstance(feature, List):
        return List(_undecoded(feature.feature), length=feature.length)
    return feature
