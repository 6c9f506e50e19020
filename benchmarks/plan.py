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
from hashlib import sha256
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from wavemill.manifests.table import SCHEMA as RECORDINGS
from wavemill.pipeline.build import make_plan
from wavemill.pipeline.catalogue import Catalogue
from wavemill.pipeline.curation import Config, make_graph
from wavemill.pipeline.ledger import GROUP_ROWS
from wavemill.pipeline.ledger import SCHEMA as LEDGER
from wavemill.pipeline.plan import stem_of
from wavemill.pipeline.store import Store

SHARD_SECONDS = 3600.0
DURATION_MS = 300_000  # of a recording: a podcast's chapter
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
    items = pa.array([[]] * len(table), RECORDINGS.field("items").type)
    return table.set_column(table.schema.get_field_index("items"), "items", items).cast(RECORDINGS)


def finished_workdir(folder: Path, size: int) -> None:
    """Make the catalogue and the ledger of a WORKDIR in which `size` recordings are finished."""
    store = Store.open(folder)
    catalogue = Catalogue(store, recordings(0, size), SHARD_SECONDS)
    catalogue.save()
    graph = make_graph(Config())
    shards = catalogue.database.execute("select shard_id, label_digest from shards").fetchall()
    for stage in graph.stages.values():
        stems = [stem_of(graph, stage, *shard) for shard in shards]
        kept = "123456789abc" if stage.name in graph.selecting else None
        outputs = [f"{stem}-123456789abc" for stem in stems] if stage.selected_by else stems
        columns = {
            "stage": [stage.name] * len(stems),
            "fingerprint": [graph.fingerprints[stage.name]] * len(stems),
            "shard_id": [shard_id for shard_id, _ in shards],
            "stem": stems,
            "output": outputs,
            "kept": [kept] * len(stems),
        }
        for field in LEDGER:
            if field.name == "sha256":
                columns["sha256"] = [sha256(output.encode()).hexdigest() for output in outputs]
            elif field.name not in columns:
                zero = "0" if pa.types.is_string(field.type) else 0
                columns[field.name] = [zero] * len(stems)
        store.write_table(
            f"manifest/ledger/{len(list(store.names('manifest/ledger'))) + 1:08d}.parquet",
            pa.table(columns, schema=LEDGER).sort_by("shard_id"),
            row_group_size=GROUP_ROWS,
        )
    make_plan(store, Config(), catalogue).remember_finished(store)


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
