"""WORKDIRs written by hand: tables as the stages would leave them, without running one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks.tables import filled
from tests.stages.verdict.scores import Judge, judged, settings
from wavemill.manifests.recording import Recording
from wavemill.manifests.table import recordings_table
from wavemill.pipeline.catalogue import CATALOGUE
from wavemill.pipeline.catalogue import SCHEMA as MEMBERS
from wavemill.pipeline.curation import all_schemas
from wavemill.pipeline.ledger import FOLDER as LEDGER_FOLDER
from wavemill.pipeline.ledger import SCHEMA as LEDGER
from wavemill.pipeline.quality.database import new_database
from wavemill.pipeline.quality.shard_rows import page_database
from wavemill.pipeline.snapshots import LATEST, LINEAGE_SCHEMA, STAGES_SCHEMA, Snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import ERRORS_SCHEMA, ErrorRow, error_row
from wavemill.stages.segments import segment_id
from wavemill.stages.verdict.stage import join_scores

STAGES = (
    "decode",
    "denoise",
    "diarize",
    "transcribe",
    "score_audio",
    "score_signal",
    "score_text",
    "verdict",
    "store_audio",
    "tokenize",
    "tokenize_text",
    "pretrain",
)
PARAMETERS = {
    "decode": {"missing_ms": 100},
    "verdict": Judge(settings()).parameters(),
}


def recording(number: int, duration_ms: int = 10_000, **fields: Any) -> Recording:
    """Return a recording with an id and a uri made from its number."""
    fields.setdefault("uri", f"/audio/set/{number}.flac")
    return Recording(f"{number:032x}", duration_ms=duration_ms, **fields)


def error_of(rec: Recording, stage: str, message: str = "it went wrong") -> ErrorRow:
    """Return a row of the errors table."""
    return error_row(stage, rec.recording_id, rec.uri, "went_wrong", message)


@contextmanager
def page_of(store: Store) -> Iterator[tuple[Snapshot, duckdb.DuckDBPyConnection]]:
    """Do what `wavemill report` does before it reads figures: snapshot and page's database."""
    with (
        new_database(store, "0") as (snapshot, _),
        page_database(store, snapshot, "0") as database,
    ):
        yield snapshot, database


@dataclass
class Shard:
    """The rows of one shard's tables, by stage; `segment` adds a whole segment."""

    shard_id: str = "a" * 16
    recordings: list[Recording] = field(default_factory=list)
    left: list[Recording] = field(default_factory=list)  # members that are not there any more
    digest: str = "0123456789ab"  # in the keys of its outputs
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {s: [] for s in STAGES})

    def decode(self, rec: Recording, end_ms: int | None = None, track: int = 0) -> None:
        """Add blocks of 60 s, as decode and denoise leave them, up to `end_ms`."""
        end_ms = rec.duration_ms if end_ms is None else end_ms
        for start in range(0, end_ms, 60_000):
            for stage, version in (("decode", "original"), ("denoise", "enhanced")):
                row = {"recording_id": rec.recording_id, "track": track, "version": version}
                row |= {"start_ms": start, "end_ms": min(start + 60_000, end_ms)}
                row |= {"sample_rate": 16_000, "audio": b"never read"}
                self.rows[stage].append(row)

    def segment(
        self,
        rec: Recording,
        start_ms: int,
        end_ms: int,
        broken: Sequence[str] | None = (),
        track: int = 0,
        text: str = "hello",
        speaker: str = "S00",
        in_corpus: bool | None = None,
    ) -> str:
        """Add a diarized segment; `broken` None leaves it without a verdict."""
        key = segment_id(rec.recording_id, track, start_ms, end_ms)
        ids = {"recording_id": rec.recording_id, "segment_id": key}
        times = {"start_ms": start_ms, "end_ms": end_ms}
        self.rows["diarize"].append(
            ids | times | {"track": track, "segment_index": 0, "speaker": speaker}
        )
        self.rows["transcribe"].append(ids | {"text": text, "language": "en", "words": []})
        self.score(rec, key, broken, end_ms - start_ms)
        if broken == () if in_corpus is None else in_corpus:
            duration = (end_ms - start_ms) / 1000
            self.rows["pretrain"].append(ids | times | {"duration": duration, "text": text})
        return key

    def score(
        self,
        rec: Recording,
        key: str,
        broken: Sequence[str] | None = (),
        duration_ms: int = 1000,
    ) -> None:
        """Add scores and the verdict of a segment, or of a labelled item."""
        ids = {"recording_id": rec.recording_id, "segment_id": key}
        source = "manifest" if rec.labelled else "asr"
        self.rows["score_audio"].append(ids | {"audio_version": "original"})
        signal = {"missing_ratio": 0.0, "snr_db": 12.5, "clipping_ratio": 0.0}
        self.rows["score_signal"].append(ids | signal)
        text = {"text_source": source, "duration_s": duration_ms / 1000, "language": "en"}
        self.rows["score_text"].append(ids | text | {"speech_ratio": 0.9})
        if broken is not None:
            rules = [{"rule": rule, "value": 0.1, "threshold": 0.5} for rule in broken]
            self.rows["verdict"].append(ids | {"kept": not broken, "broken": rules})


def write_workdir(
    root: Path, shards: Sequence[Shard], errors: Sequence[dict[str, Any]] = (), number: int = 1
) -> Store:
    """Write the shards as snapshot `number`, the newest, of a WORKDIR."""
    store, schemas = Store.open(root), all_schemas()
    found = [(s, r) for s in shards for r in s.recordings]
    folder = f"snapshots/{number:06d}"
    lineage, ledger = [], []
    for shard in shards:
        for stage in STAGES:
            key = f"stages/{stage}/{'f' * 16}/{shard.shard_id}-{shard.digest}"
            table = filled(shard.rows[stage], schemas[stage])
            store.write_table(f"{key}.parquet", table)
            if stage == "pretrain":
                store.write_table(f"{folder}/pretrain/{shard.shard_id}.parquet", table)
            row = {"shard_id": shard.shard_id, "stage": stage, "fingerprint": "f" * 16}
            lineage.append(row | {"lineage_id": "l", "output": f"{key}.parquet"})
            made = {"stem": key, "output": key, "rows": table.num_rows, "finished_ms": number}
            cost = {"errors": 0, "bytes": 1, "audio_ms": 36_000, "seconds": 3.6}
            ledger.append(row | made | cost | {"cpu_seconds": 1.8, "gpus": 0.0, "sha256": ""})
    store.write_table(f"{LEDGER_FOLDER}/{number:08d}.parquet", filled(ledger, LEDGER))
    store.write_table(CATALOGUE, members_table(shards))
    store.write_table(f"{folder}/recordings.parquet", recordings_table([r for _, r in found]))
    store.write_table(f"{folder}/errors.parquet", filled(errors, ERRORS_SCHEMA))
    store.write_table(f"{folder}/lineage.parquet", filled(lineage, LINEAGE_SCHEMA))
    store.write_table(f"{folder}/stages.parquet", filled(_stages(), STAGES_SCHEMA))
    snapshot = Snapshot(
        number=number,
        parent=number - 1 or None,
        created="2026-01-02T03:04:05+00:00",
        content="",
        config="",
        wavemill="0.0",
        recordings=len(found),
        audio_ms=sum(r.duration_ms for _, r in found),
        errors=len(errors),
        rows={"pretrain": sum(len(s.rows["pretrain"]) for s in shards)},
    )
    store.write_text(f"{folder}/snapshot.json", json.dumps(asdict(snapshot)))
    store.write_text(LATEST, snapshot.name)
    return store


def _stages() -> list[dict[str, Any]]:
    return [
        {
            "stage": stage,
            "fingerprint": "f" * 16,
            "version": 1,
            "inputs": [],
            "parameters": json.dumps(PARAMETERS.get(stage, {})),
        }
        for stage in STAGES
    ]


def members_table(shards: Sequence[Shard]) -> pa.Table:
    """Return the catalogue in which these shards have their members."""
    rows = []
    for shard in shards:
        for active, recordings in ((True, shard.recordings), (False, shard.left)):
            for row in recordings_table(recordings).to_pylist():
                known = {"shard_id": shard.shard_id, "active": active}
                rows.append(row | known | {"audio_digest": "", "label_digest": ""})
    return filled(rows, MEMBERS)


def judged_workdir(root: Path, text: str = "hello", message: str = "it went wrong") -> Store:
    """40 recordings with values on both sides of thresholds, judged by the stage's own code.

    A 41st has failed, with `message`.
    """
    shard = judged_shard(np.random.default_rng(1), count=40, text=text)
    failed = recording(99, 60_000)
    shard.recordings.append(failed)
    return write_workdir(root, [shard], [error_of(failed, "decode", message)])


def judged_shard(
    rng: np.random.Generator,
    first: int = 0,
    shard_id: str = "a" * 16,
    count: int = 1,
    text: str = "hello",
) -> Shard:
    """Return a shard of recordings with ten judged segments each, numbered from `first`."""
    shard = Shard(shard_id)
    for number in range(first, first + count):
        rec = recording(number, 60_000, uri=f"/audio/set{number % 3}/{number}.flac")
        shard.recordings.append(rec)
        shard.decode(rec)
        for start in range(0, 50_000, 5000):
            length = int(rng.integers(200, 5000))
            speaker = f"S{start % 2:02d}"
            shard.segment(rec, start, start + length, broken=None, speaker=speaker, text=text)
    for row, signal in zip(shard.rows["score_audio"], shard.rows["score_signal"], strict=True):
        signal["snr_db"] = float(rng.normal(5, 5))
        row["dnsmos_overall"] = float(rng.uniform(1, 4)) if rng.random() < 0.9 else None
    for row in shard.rows["score_text"]:
        row |= {"asr_confidence": float(rng.uniform(0, 1)), "text_length": 5}
    _judge(shard)
    return shard


def _judge(shard: Shard) -> None:
    """Fill the shard's verdicts, and the corpus with what is kept."""
    schemas = all_schemas()
    tables = [filled(shard.rows[stage], schemas[stage]) for stage in Judge.inputs]
    shard.rows["verdict"] = judged(join_scores(tables)).to_pylist()
    kept = {row["segment_id"] for row in shard.rows["verdict"] if row["kept"]}
    shard.rows["pretrain"] = [
        {name: row[name] for name in ("recording_id", "segment_id", "start_ms", "end_ms")}
        for row in shard.rows["diarize"]
        if row["segment_id"] in kept
    ]
