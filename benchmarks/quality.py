"""How the quality page grows with the corpus: the first `wavemill report`, and one after a refresh.

    python -m benchmarks.quality [--segments 100 10000 1000000] [--keep FOLDER]

Synthetic tables without audio: recordings of 6 minutes with 100 segments each, 10,000 segments a
shard, values spread around the thresholds, verdicts by the stage's own code.
The refresh gives 1 % of the shards other outputs in a second snapshot. Each report is a process of
its own; `wall` is that of the command, `CPU` and `peak` (memory) are those of the process and of
what it started. Figures: quality.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.tables import filled, nothing
from wavemill.manifests.recording import Recording
from wavemill.manifests.table import recordings_table
from wavemill.pipeline.catalogue import CATALOGUE
from wavemill.pipeline.catalogue import SCHEMA as MEMBERS
from wavemill.pipeline.curation import Config, all_schemas, make_graph
from wavemill.pipeline.ledger import FOLDER as LEDGER_FOLDER
from wavemill.pipeline.ledger import SCHEMA as LEDGER
from wavemill.pipeline.quality.database import newest_snapshot
from wavemill.pipeline.snapshots import (
    LATEST,
    LINEAGE_SCHEMA,
    STAGES_SCHEMA,
    Snapshot,
    save_snapshot,
)
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import ERRORS_SCHEMA
from wavemill.stages.verdict.stage import join_scores, judge

PER_RECORDING, PER_SHARD, RECORDING_MS = 100, 10_000, 360_000
WORDS = ["the", "of", "and", "to", "in", "that", "was", "it", "for", "with", "as", "had", "not"]
FINGERPRINT = "f" * 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--segments", type=int, nargs="+", default=[100, 10_000, 1_000_000])
    parser.add_argument("--keep", type=Path, help="write the WORKDIRs here, and leave them")
    arguments = parser.parse_args()
    columns = ("segments", "report", "wall", "CPU", "peak", "page")
    print("".join(f"{name:>12}" for name in columns))
    for count in arguments.segments:
        with tempfile.TemporaryDirectory(prefix="wavemill-quality-") as folder:
            root = (arguments.keep or Path(folder)) / f"{count}"
            store = write_workdir(root, count)
            for kind in ("first", "again", "refresh"):
                if kind == "refresh":
                    refresh(store)
                wall, cpu, peak = report(root)
                size = (root / "report/index.html").stat().st_size
                print(
                    f"{count:>12,}{kind:>12}{wall:>10.1f} s{cpu:>10.1f} s{peak:>8.0f} MiB"
                    f"{size / 1e6:>9.2f} MB",
                    flush=True,
                )


def report(root: Path) -> tuple[float, float, float]:
    """Run `wavemill report`; return its seconds, its CPU seconds and its peak memory in MiB."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "wavemill.jobs.report", str(root)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.returncode
    wall = time.perf_counter() - began
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def refresh(store: Store) -> None:
    """Make a second snapshot in which 1 % of the shards, at least one, have other outputs."""
    old, new = "snapshots/000001", "snapshots/000002"
    lineage = store.read_table(f"{old}/lineage.parquet").to_pylist()
    shards = sorted({row["shard_id"] for row in lineage})
    chosen = set(shards[: max(1, len(shards) // 100)])
    for row in lineage:
        if row["shard_id"] in chosen:
            key = row["output"].replace("0123456789ab", "ba9876543210")
            store.write_table(key, store.read_table(row["output"]))
            row["output"] = key
    for name in ("recordings", "errors", "stages"):
        store.link(f"{old}/{name}.parquet", f"{new}/{name}.parquet")
    for name in store.names(f"{old}/pretrain"):
        store.link(f"{old}/pretrain/{name}", f"{new}/pretrain/{name}")
    store.write_table(f"{new}/lineage.parquet", filled(lineage, LINEAGE_SCHEMA))
    snapshot = replace(newest_snapshot(store), number=2, parent=1)
    save_snapshot(store, snapshot)
    store.write_text(LATEST, snapshot.name)


def write_workdir(root: Path, count: int) -> Store:
    """Write a WORKDIR with one snapshot of about `count` segments."""
    store, rng = Store.open(root), np.random.default_rng(0)
    lineage, ledger, members, found = [], [], [], []
    folder = "snapshots/000001"
    for number, first in enumerate(range(0, count, PER_SHARD)):
        shard = f"{number:016x}"
        recordings = [
            Recording(
                f"{number:016x}{i:016x}", f"/audio/set{number % 20}/{number}-{i}.flac", RECORDING_MS
            )
            for i in range(-(-min(PER_SHARD, count - first) // PER_RECORDING))
        ]
        found += recordings
        members.append(_members(recordings, shard))
        for stage, table in _tables(recordings, rng).items():
            key = f"stages/{stage}/{FINGERPRINT}/{shard}-0123456789ab"
            store.write_table(f"{key}.parquet", table)
            if stage == "pretrain":
                store.write_table(f"{folder}/pretrain/{shard}.parquet", table)
            row = {"shard_id": shard, "stage": stage, "fingerprint": FINGERPRINT}
            lineage.append(row | {"lineage_id": "l", "output": f"{key}.parquet"})
            made = {"stem": key, "output": key, "rows": len(table), "finished_ms": number}
            ledger.append(row | made | {"audio_ms": RECORDING_MS, "seconds": 3.6})
    store.write_table(f"{LEDGER_FOLDER}/00000001.parquet", filled(ledger, LEDGER))
    store.write_table(CATALOGUE, pa.concat_tables(members))
    store.write_table(f"{folder}/recordings.parquet", recordings_table(found))
    store.write_table(f"{folder}/errors.parquet", ERRORS_SCHEMA.empty_table())
    store.write_table(f"{folder}/lineage.parquet", filled(lineage, LINEAGE_SCHEMA))
    store.write_table(f"{folder}/stages.parquet", filled(_stages(lineage), STAGES_SCHEMA))
    audio_ms = len(found) * RECORDING_MS
    snapshot = Snapshot(
        1, None, "2026-01-02T03:04:05+00:00", "", "", "0", len(found), audio_ms, 0, {}
    )
    store.write_text(f"{folder}/snapshot.json", json.dumps(asdict(snapshot)))
    store.write_text(LATEST, snapshot.name)
    return store


def _tables(recordings: list[Recording], rng: np.random.Generator) -> dict[str, pa.Table]:
    """Return one shard's tables, by stage."""
    count = len(recordings) * PER_RECORDING
    ids = np.repeat([r.recording_id for r in recordings], PER_RECORDING)
    start = np.tile(np.arange(PER_RECORDING) * (RECORDING_MS // PER_RECORDING), len(recordings))
    length = np.clip(rng.gamma(3, 800, count), 300, 3500).astype(np.int64)
    end = start + length
    common: dict[str, Any] = {
        "recording_id": ids,
        "segment_id": [f"{r}-0-{a}-{b}" for r, a, b in zip(ids, start, end, strict=True)],
        "start_ms": start,
        "end_ms": end,
        "duration": length / 1000,
        "duration_s": length / 1000,
        "segment_index": np.tile(np.arange(PER_RECORDING), len(recordings)),
        "speaker": [f"S{n:02d}" for n in rng.integers(0, 4, count)],
        "language": rng.choice(["en", "zh", "de"], count, p=[0.7, 0.25, 0.05]),
        "text": [" ".join(words) for words in rng.choice(WORDS, (count, 8))],
        "text_source": ["asr"] * count,
        "audio_version": rng.choice(["original", "enhanced"], count),
        "speech_ratio": rng.beta(12, 2, count),
        "overlap_ratio": rng.beta(1, 12, count),
        "snr_db": rng.normal(18, 9, count),
        "clipping_ratio": rng.beta(1, 300, count),
        "dnsmos_overall": np.clip(rng.normal(2.6, 0.6, count), 1, 5),
        "dnsmos_signal": np.clip(rng.normal(3.0, 0.6, count), 1, 5),
        "dnsmos_background": np.clip(rng.normal(3.2, 0.8, count), 1, 5),
        "asr_confidence": rng.beta(6, 4, count),
        "language_probability": rng.beta(20, 1, count),
        "text_length": rng.integers(5, 60, count),
        "words_per_second": rng.gamma(9, 0.3, count),
        "compression_ratio": rng.normal(1.2, 0.2, count),
    }
    schemas = all_schemas()
    made = {s: _columns(common, count, schemas[s]) for s in ("diarize", "transcribe")}
    verdict: Any = make_graph(Config()).stages["verdict"].build("cpu")
    made |= {s: _columns(common, count, schemas[s]) for s in verdict.inputs}
    scores = join_scores([made[stage] for stage in verdict.inputs])
    made["verdict"] = judge(scores, verdict.settings, verdict.known)
    kept = _columns(common, count, schemas["pretrain"])
    made["pretrain"] = kept.filter(made["verdict"]["kept"])
    starts = range(0, RECORDING_MS, 60_000)
    blocks = [
        {"recording_id": r.recording_id, "version": "original", "start_ms": s, "end_ms": s + 60_000}
        for r in recordings
        for s in starts
    ]
    return {"decode": filled(blocks, schemas["decode"]), **made}


def _columns(values: Mapping[str, Any], count: int, schema: pa.Schema) -> pa.Table:
    """Return a table of SCHEMA: what `values` has, else null or nothing of the type."""
    arrays = [
        pa.array(values[f.name], f.type)
        if f.name in values
        else pa.repeat(pa.scalar(None if f.nullable else nothing(f.type), f.type), count)
        for f in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _stages(lineage: list[dict[str, Any]]) -> list[dict[str, Any]]:
    verdict = make_graph(Config()).stages["verdict"]
    parameters = {"verdict": json.dumps(dict(verdict.parameters))}
    parameters["decode"] = json.dumps({"missing_ms": 100})
    return [
        {"stage": s, "fingerprint": FINGERPRINT, "parameters": parameters.get(s, "{}")}
        for s in dict.fromkeys(row["stage"] for row in lineage)
    ]


def _members(recordings: list[Recording], shard: str) -> pa.Table:
    table = recordings_table(recordings)
    known: dict[str, Any] = {"shard_id": shard, "active": True}
    known |= {"audio_digest": "", "label_digest": ""}
    arrays = {name: pa.repeat(pa.scalar(value), len(table)) for name, value in known.items()}
    columns = [arrays.get(f.name) or table[f.name] for f in MEMBERS]
    return pa.Table.from_arrays(columns, schema=MEMBERS)


if __name__ == "__main__":
    main()
