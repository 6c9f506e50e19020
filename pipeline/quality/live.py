"""The quality database of a WORKDIR that changes: what the dashboard reads.

Each snapshot gets a database of its own in a temporary file, which is unlinked once it is open: no
transcript stays on disk, however the process ends. The WORKDIR is only read. A request works on a
cursor of its own, which DuckDB allows in many threads.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import duckdb

from wavemill.pipeline.catalogue import CATALOGUE
from wavemill.pipeline.catalogue import SCHEMA as MEMBERS
from wavemill.pipeline.ledger import SCHEMA as LEDGER
from wavemill.pipeline.ledger import ledger_files
from wavemill.pipeline.lock import Holder, read_lock
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.quality.browse import ShownRows, make_browsable
from wavemill.pipeline.quality.figures import Figures, read_figures
from wavemill.pipeline.quality.page import as_json
from wavemill.pipeline.quality.samples import Samples, read_samples
from wavemill.pipeline.quality.shard_rows import fill_page_database
from wavemill.pipeline.scratch import scratch_folder
from wavemill.pipeline.snapshots import LINEAGE_SCHEMA, Snapshot, latest_number, read_snapshot
from wavemill.pipeline.store import Store

CLOSING_SECONDS = 10.0  # for answers that are under way


@dataclass(frozen=True)
class StageProgress:
    """Shards for which a running build has finished a stage since it began."""

    stage: str
    done: int
    shards: int  # all that are new since the newest snapshot, or else all


@dataclass(frozen=True)
class State:
    snapshot: int | None
    running: str | None  # the command that holds the WORKDIR
    stages: tuple[StageProgress, ...]


class Shown:
    """One snapshot: a database with all views, the table `seen`, and what was read from them."""

    def __init__(self, store: Store, snapshot: Snapshot, folder: Path, version: str) -> None:
        self.store, self.snapshot = store, snapshot
        path = folder / f"{uuid.uuid4().hex}.duckdb"  # DuckDB takes equal paths for one database
        self._database = duckdb.connect(path)
        with scratch_folder() as scratch:
            fill_page_database(
                self._database, store, snapshot, version, scratch, write=False, as_tables=True
            )
        self.figures_json = _encoded(read_figures(self._database, store, snapshot))
        make_browsable(self._database)
        self.rows = ShownRows(self._database, path.with_suffix(".arrow"))
        self._database.execute("checkpoint")  # nothing is left in a file beside it
        path.unlink()
        self._lock = threading.Lock()
        self._asked = threading.Condition()  # the database itself refuses a second call at a time
        self._cursors = 0

    @cached_property
    def _samples_json(self) -> bytes:
        with self.cursor() as cursor:
            return _encoded(read_samples(cursor, self.store, self.snapshot, silent=True))

    def samples_json(self) -> bytes:
        """Return what to listen to, without the sound, as JSON."""
        with self._lock:
            return self._samples_json

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._asked:
            cursor = self._database.cursor()
            self._cursors += 1
        try:
            with cursor:
                yield cursor
        finally:
            with self._asked:
                self._cursors -= 1
                self._asked.notify_all()

    def close(self) -> None:
        """Close the database when all cursors are closed, or after CLOSING_SECONDS."""
        with self._asked:
            self._asked.wait_for(lambda: not self._cursors, CLOSING_SECONDS)
            with suppress(duckdb.Error):
                self._database.close()
            self.rows.close()


def _encoded(value: Figures | Samples) -> bytes:
    return as_json(asdict(value)).encode()


class Live:
    """The newest snapshot of a store, at the time of each request."""

    def __init__(self, store: Store, version: str) -> None:
        self.store = store
        self._version = version
        self._closing = ExitStack()
        self._folder = self._closing.enter_context(scratch_folder())
        self._shown: list[Shown] = []  # the newest last; one before it may still be in use
        self._lock = threading.Lock()

    def newest(self) -> Shown | None:
        """Return the newest snapshot; None without any.

        It is read again when there is a newer one, or after a purge.
        """
        number = self._number()
        if number is None:
            return None
        with self._lock:
            snapshot = read_snapshot(self.store, number)
            if not self._shown or self._shown[-1].snapshot != snapshot:
                self._shown.append(Shown(self.store, snapshot, self._folder, self._version))
                while len(self._shown) > 2:
                    self._shown.pop(0).close()
            return self._shown[-1]

    def state(self) -> State:
        """Return which snapshot is the newest, and how far a running build is."""
        holder = read_lock(self.store)
        if holder is None or holder.is_dead(seen_from=Holder.this_process("")):
            return State(self._number(), None, ())
        return State(self._number(), str(holder), self._progress(holder.since))

    def close(self) -> None:
        for shown in self._shown:
            shown.close()
        self._closing.close()

    def _number(self) -> int | None:
        return latest_number(self.store)

    def _progress(self, since: str) -> tuple[StageProgress, ...]:
        with memory_database() as database, suppress(duckdb.IOException, FileNotFoundError):
            self.store.view(database, "ledger", ledger_files(self.store), LEDGER)
            self.store.view(database, "members", [CATALOGUE], MEMBERS)
            number = self._number()
            built = [] if number is None else [f"snapshots/{number:06d}/lineage.parquet"]
            self.store.view(database, "built", built, LINEAGE_SCHEMA)
            return tuple(StageProgress(*row) for row in database.execute(_DONE, [since]).fetchall())
        return ()  # files were gathered into one just now


_DONE = """
with done as (
    select stage, count(distinct shard_id) as done, min(finished_ms) as first from ledger
    where finished_ms >= epoch_ms(?::timestamptz) group by stage
),
shards as (
    select count(*) as everything, count(*) filter (built is null) as fresh
    from (select distinct shard_id from members where active)
    left join (select distinct shard_id, true as built from built) using (shard_id)
)
select stage, done, case when fresh >= (select max(done) from done) then fresh else everything end
from done, shards order by first, stage
"""
