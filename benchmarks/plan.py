"""How planning grows with the manifest: 1 % new, 1 % changed, 1 % deleted of N recordings.

    python -m benchmarks.plan [--sizes 10000 100000 1000000]

Synthetic rows, no audio: a WORKDIR whose every recording is finished, then the sources change.
Each plan runs in a process of its own, which prints its peak memory. The time covers comparing
the recordings with the catalogue, digesting what changed, placing what is new into shards, and
joining with the ledger; looking at the sources (a walk and a hash cache) is not in it. Beside it
stands what a bare anti-join of two columns of ids costs DuckDB on the same rows; `rows` is the
memory of that process once it holds the sources' rows, `peak` its highest during the plan.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wavemill.manifests.table import SCHEMA as RECORDINGS
from wavemill.manifests.table import audio_digest, label_digest, recordings_from_table
from wavemill.pipeline.build import make_plan
from wavemill.pipeline.catalogue import BATCH_ROWS, DIGITS, Catalogue, write_catalogue
from wavemill.pipeline.curation import Config, make_graph
from wavemill.pipeline.finished import SHARDS, Finished
from wavemill.pipeline.graph import ConfiguredStage, Graph
from wavemill.pipeline.ledger import FOLDER as LEDGER_FOLDER
from wavemill.pipeline.ledger import GROUP_ROWS, Ledger
from wavemill.pipeline.ledger import SCHEMA as LEDGER
from wavemill.pipeline.output_key import stem_sql
from wavemill.pipeline.store import Store

SHARD_SECONDS = 3600.0
DURATION_MS = 300_000  # of a recording: a podcast's chapter
PER_SHARD = int(SHARD_SECONDS * 1000) // DURATION_MS
THREADS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--only-plan", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only_plan:
        print(json.dumps(plan_once(arguments.only_plan, arguments.sizes[0])))
        return
    columns = ("recordings", "shards", "to do", "plan", "CPU", "anti-join", "rows", "peak")
    print("".join(f"{name:>12}" for name in columns))
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory(prefix="wavemill-plan-") as folder:
            finished_workdir(Path(folder), size)
            pq.write_table(changed_sources(size), Path(folder) / "today.parquet")
            command = [sys.executable, "-m", "benchmarks.plan", "--only-plan", folder]
            done = subprocess.run([*command, "--sizes", str(size)], capture_output=True, check=True)
        found = json.loads(done.stdout)
        counts = "".join(f"{found[name]:>12,}" for name in ("recordings", "shards", "pending"))
        times = "".join(f"{found[name]:>10.2f} s" for name in ("seconds", "cpu", "anti_join"))
        memory = "".join(f"{found[name]:>8.0f} MiB" for name in ("rows_mib", "peak_mib"))
        print(counts + times + memory, flush=True)


def recordings(first: int, last: int, license_of: str = "null") -> pa.Table:
    """Return synthetic recordings number `first` to `last`."""
    query = f"""
    select md5(i::varchar) as recording_id,
           concat('/data/podcasts/', i // 1000, '/episode-', i, '.flac') as uri,
           {DURATION_MS}::bigint as duration_ms,
           []::struct(start_ms bigint, end_ms bigint)[] as regions,
           null::varchar as speaker, null::varchar as language, {license_of} as license,
           null::varchar as split, '{{}}' as metadata, [] as items
    from range({first}, {last}) t(i)
    """
    with duckdb.connect() as database:
        table = database.sql(query).to_arrow_table()
    items = _no_items(len(table))
    return table.set_column(table.schema.get_field_index("items"), "items", items).cast(RECORDINGS)


def _no_items(count: int) -> pa.Array:
    kind = RECORDINGS.field("items").type
    offsets = pa.array(np.zeros(count + 1, np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array([], kind.value_type), type=kind)


def finished_workdir(folder: Path, size: int) -> None:
    """Make the catalogue and the ledger of a WORKDIR in which `size` recordings are finished.

    Digests are those of the program where recordings will be relabelled, and made up elsewhere.
    """
    store, one = Store.open(folder), size // 100
    changing = recordings_from_table(recordings(one, 2 * one))
    digests = {
        "recording_id": [r.recording_id for r in changing],
        "audio_digest": [audio_digest(r)[:DIGITS] for r in changing],
        "label_digest": [label_digest(r)[:DIGITS] for r in changing],
    }
    with duckdb.connect(config={"threads": THREADS}) as database:
        database.register("digests", pa.table(digests))
        database.execute(_PLACES.format(size=size, per_shard=PER_SHARD))
        rows = database.sql(_CATALOGUE).to_arrow_reader(BATCH_ROWS)
        mark = write_catalogue(store, map(_with_items, rows))
        shards = database.sql(_SHARDS).to_arrow_table()
        graph = make_graph(Config())
        for number, stage in enumerate(graph.stages.values(), start=1):
            rows = database.sql(_outputs(graph, stage)).to_arrow_table()
            key = f"{LEDGER_FOLDER}/{number:08d}.parquet"
            store.write_table(key, rows.select(LEDGER.names).cast(LEDGER), GROUP_ROWS)
    ledger = Ledger(store).files()
    Finished(shards.cast(SHARDS), mark, graph.digest, ledger).write(store)


def _outputs(graph: Graph, stage: ConfiguredStage) -> str:
    """SQL: the ledger's rows of a stage, of all shards."""
    label = "label_digest" if stage.name in graph.label_dependent else None
    fingerprint = graph.fingerprints[stage.name]
    stem = stem_sql(stage.name, fingerprint, "shard_id", label)
    output = "concat(stem, '-123456789abc')" if stage.selected_by else "stem"
    made = ("stage", "fingerprint", "shard_id", "stem", "output", "kept", "sha256")
    others = [
        f"{repr('0') if pa.types.is_string(field.type) else 0} as {field.name}"
        for field in LEDGER
        if field.name not in made
    ]
    return (
        f"select '{stage.name}' as stage, '{fingerprint}' as fingerprint, shard_id, "
        f"{stem} as stem, "
        f"{output} as output, sha256({output}) as sha256, "
        f"{repr('123456789abc') if stage.name in graph.selecting else 'null'} as kept, "
        f"{', '.join(others)} from ({_SHARDS}) order by shard_id"
    )


def _with_items(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.append_column(RECORDINGS.field("items"), _no_items(len(batch)))


_PLACES = """
create table places as
select i, recording_id, coalesce(audio_digest, md5(concat('a', i))) as audio_digest,
       coalesce(label_digest, md5(concat('l', i))) as label_digest,
       md5((row_number() over (order by recording_id) // {per_shard})::varchar)[:16] as shard_id
from (select i, md5(i::varchar) as recording_id from range({size}) t(i))
left join digests using (recording_id)
"""
_CATALOGUE = f"""
select shard_id, true as active, audio_digest, label_digest, recording_id,
       concat('/data/podcasts/', i // 1000, '/episode-', i, '.flac') as uri,
       {DURATION_MS}::bigint as duration_ms,
       []::struct(start_ms bigint, end_ms bigint)[] as regions,
       null::varchar as speaker, null::varchar as language, null::varchar as license,
       null::varchar as split, '{{}}' as metadata
from places order by recording_id
"""
_SHARDS = f"""
select shard_id,
       substr(sha256(array_to_string(list_sort(list(label_digest)), chr(10))), 1, 12)
         as label_digest,
       sum({DURATION_MS})::bigint as duration_ms, count(*) as recordings,
       false as labelled, false as written
from places group by shard_id order by shard_id
"""


def plan_once(folder: Path, size: int) -> dict[str, float]:
    """Plan the sources of `today.parquet`; returns figures."""
    one = size // 100
    today = pq.read_table(folder / "today.parquet")
    before = peak_mib()
    store = Store.open(folder)
    started, cpu = time.perf_counter(), time.process_time()
    catalogue = Catalogue(store, today, SHARD_SECONDS)
    plan = make_plan(store, Config(), catalogue)
    assert plan.errors(store).num_rows == 0
    pending, shards = plan.pending, plan.shards
    loads = {load.stage: load.shards for load in plan.loads()}
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = peak_mib()
    changes = catalogue.changes
    assert (changes.new, changes.relabelled, changes.gone) == (one, one, one), changes
    assert loads["denoise"] == -(-one * DURATION_MS // int(SHARD_SECONDS * 1000)), loads
    return {
        "recordings": size,
        "seconds": seconds,
        "cpu": cpu,
        "anti_join": bare_anti_join(today, size),
        "pending": pending,
        "shards": shards,
        "rows_mib": before,
        "peak_mib": peak,
    }


def peak_mib() -> float:
    """Return the peak memory of this process (getrusage would count the parent's, too)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def changed_sources(size: int) -> pa.Table:
    """Return the sources with 1 % of the recordings deleted, 1 % relabelled and 1 % new."""
    one = size // 100
    relabelled = recordings(one, 2 * one, "'CC-BY-4.0'")
    return pa.concat_tables([relabelled, recordings(2 * one, size + one)])


def bare_anti_join(today: pa.Table, size: int) -> float:
    known = recordings(0, size).select(["recording_id", "uri"])
    started = time.perf_counter()
    with duckdb.connect(config={"threads": THREADS}) as database:
        database.register("today", today)
        database.register("known", known)
        database.execute(
            "select count(*) from today anti join known using (recording_id, uri)"
        ).fetchall()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
