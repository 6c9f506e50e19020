"""`wavemill curate` from a bucket into a bucket, with the embedded engines."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import soundfile

from tests.command import wavemill
from tests.object_store import ObjectStore
from tests.support import ROOT
from wavemill.pipeline.snapshots import latest_snapshot
from wavemill.pipeline.store import Store

EXAMPLE = ROOT / "examples" / "recordings" / "clean_dialogue.flac"
SECONDS = 7
LOCATIONS = ["source", "lineage_id"]  # an output's key, and so its lineage, tells of the source


def corpus(location: str) -> pa.Table:
    store = Store.open(location)
    snapshot = latest_snapshot(store)
    assert snapshot is not None
    folder = f"{snapshot.folder}/pretrain"
    return pa.concat_tables(store.read_tables(f"{folder}/{n}" for n in store.names(folder)))


def test_curate_in_a_bucket_gives_the_local_corpus(s3: ObjectStore, tmp_path: Path) -> None:
    samples, rate = soundfile.read(EXAMPLE, frames=SECONDS * 48_000)
    soundfile.write(tmp_path / "a.flac", samples, rate)
    s3.put("in/a.flac", (tmp_path / "a.flac").read_bytes())
    s3.put("in/bad.wav", b"no audio")
    remote = (s3.url("in"), "--out", s3.url("work"), "--executor", "inline")
    done = wavemill("curate", *remote)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"s3://{s3.bucket}/work/snapshots/000001" in done.stdout
    done = wavemill("curate", str(tmp_path / "a.flac"), "--out", str(tmp_path / "work"),
                    "--executor", "inline")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    here, there = corpus(str(tmp_path / "work")), corpus(s3.url("work"))
    assert here.num_rows > 0
    assert there["source"].unique().to_pylist() == [s3.url("in/a.flac")]
    assert there.drop_columns(LOCATIONS).equals(here.drop_columns(LOCATIONS))
    s3.requests.clear()
    done = wavemill("curate", *remote)
    assert "nothing to do" in done.stdout, done.stderr
    assert len(s3.requests) < 100
    done = wavemill("curate", s3.url("in"), "--out", "s3://no-such-bucket/x" + s3.options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no such bucket" in done.stderr
