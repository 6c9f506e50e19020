"""The whole pipeline on real engines: two examples, a labelled line, and every bad input."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import wave
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from tests import command
from tests.support import ROOT
from wavemill.pipeline.curation import all_schemas

RECORDINGS = ROOT / "examples" / "recordings"
NAMES = ("clean_dialogue.flac", "stereo_call.flac")


def program(*arguments: object) -> None:
    """Run the command line as a user does, in a process of its own."""
    line = [sys.executable, "-m", "wavemill.jobs.cli", *map(str, arguments)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr


def wavemill(*arguments: object, check: bool = True) -> command.Done:
    """Run the command line in this process."""
    done = command.wavemill(*arguments)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def stages_to_do(plan: str) -> dict[str, int]:
    """Return from the output of `wavemill plan` how many shards each stage has to do."""
    rows = re.findall(r"^ +([a-z_]+) +(?:[a-z_]+ +)?(\d+) +(\d+) ", plan, re.MULTILINE)
    return {stage: int(to_do) for stage, _, to_do in rows}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two examples cut to 20 s each, and one labelled utterance in a manifest."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "recordings").mkdir()
    for name in NAMES:
        samples, rate = soundfile.read(RECORDINGS / name)
        soundfile.write(folder / "recordings" / name, samples[: 20 * rate], rate)
    samples, rate = soundfile.read(RECORDINGS / "low_level_with_hum.flac")
    soundfile.write(folder / "labelled.flac", samples[: 3 * rate], rate)
    line = {
        "audio_filepath": "labelled.flac",
        "offset": 0.5,
        "duration": 2.0,
        "text": "你好 hello",
        "license": "CC0",
        "station": 7,
    }
    (folder / "manifest.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def inline(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("inline")
    arguments = ("curate", sources / "recordings", sources / "manifest.jsonl", "--out", out)
    wavemill(*arguments, "--executor", "inline", "--set", "shard_seconds=15")
    return out


def rows(out: Path) -> list[dict]:  # type: ignore[type-arg]
    table = pq.read_table(out / "corpus" / "pretrain").sort_by(
        [("recording_id", "ascending"), ("segment_index", "ascending")]
    )
    return table.to_pylist()


def test_ray_gives_the_same_corpus(inline: Path, sources: Path, tmp_path: Path) -> None:
    arguments = ("curate", sources / "recordings", sources / "manifest.jsonl", "--out", tmp_path)
    program(*arguments, "--executor", "ray", "--workers", "2", "--set", "shard_seconds=15")
    assert rows(tmp_path) == rows(inline)
    assert len(rows(inline)) >= 8


def test_a_second_run_computes_nothing(inline: Path, sources: Path) -> None:
    before = sorted(inline.rglob("*"))
    arguments = (sources / "recordings", sources / "manifest.jsonl", "--out", inline)
    done = wavemill("curate", *arguments, "--set", "shard_seconds=15")
    assert "nothing to do" in done.stdout
    assert sorted(inline.rglob("*")) == before


def test_plan_writes_nothing_but_the_hash_cache(sources: Path, tmp_path: Path) -> None:
    done = wavemill("plan", sources / "recordings", "--out", tmp_path / "new")
    assert "2 recordings" in done.stdout
    written = [p for p in (tmp_path / "new").rglob("*") if p.is_file()]
    assert [p.name for p in written] == ["hash-cache.parquet"]


def test_a_moved_threshold_runs_no_model(inline: Path, sources: Path) -> None:
    arguments = (sources / "recordings", sources / "manifest.jsonl", "--out", inline)
    moved = ("--set", "filter.asr.min_duration_s=1.5", "--set", "shard_seconds=15")
    todo = stages_to_do(wavemill("plan", *arguments, *moved).stdout)
    assert todo["verdict"] == 3
    idle = (
        "decode",
        "denoise",
        "diarize",
        "transcribe",
        "score_audio",
        "score_text",
        "tokenize_text",
    )
    assert [todo[stage] for stage in idle] == [0] * len(idle)


def test_the_schema_is_as_designed(inline: Path) -> None:
    (first, *_) = (inline / "corpus" / "pretrain").glob("*.parquet")
    schema = all_schemas()["pretrain"]
    assert pq.read_schema(first).remove_metadata().equals(schema.remove_metadata())
    metadata = pq.read_metadata(first).metadata
    for key in (
        b"wavemill.version",
        b"wavemill.snapshot",
        b"wavemill.fingerprints",
        b"semantic_tokenizer",
        b"semantic_vocab_size",
        b"text_tokenizer",
    ):
        assert metadata[key]


def test_rows_are_consistent(inline: Path) -> None:
    for row in rows(inline):
        assert row["segment_id"].startswith(row["recording_id"])
        span = row["end_ms"] - row["start_ms"]
        assert len(row["semantic_tokens"]) == -(-span // 80)
        assert min(row["semantic_tokens"]) >= 0
        assert max(row["semantic_tokens"]) < 2048
        samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
        assert rate == row["sample_rate"]
        assert abs(len(samples) / rate - row["duration"]) < 0.002
        assert row["text_tokens"]
        for word in row["words"] or ():
            assert row["start_ms"] <= word["start_ms"] <= word["end_ms"] <= row["end_ms"]


def test_the_labelled_utterance_keeps_its_transcript(inline: Path) -> None:
    (row,) = [r for r in rows(inline) if r["text_source"] == "manifest"]
    assert row["text"] == "你好 hello"
    assert (row["start_ms"], row["end_ms"]) == (500, 2500)
    assert row["audio_version"] == "original"
    assert row["license"] == "CC0"
    assert json.loads(row["metadata"]) == {"station": 7}
    assert row["words"] is None


def test_duckdb_reads_it(inline: Path) -> None:
    files = f"'{inline}/corpus/pretrain/*.parquet'"
    query = f"select count(*), sum(octet_length(audio.bytes)) from {files}"
    ((count, size),) = duckdb.sql(query).fetchall()
    assert count == len(rows(inline))
    assert size > 0


def test_datasets_sees_an_audio_column(inline: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(
        "parquet",
        data_files=str(inline / "corpus" / "pretrain" / "*.parquet"),
        split="train",
        cache_dir=str(tmp_path),
    )
    assert isinstance(loaded.features["audio"], datasets.Audio)
    assert loaded.features["semantic_tokens"] == datasets.List(datasets.Value("int32"))
    loaded = loaded.cast_column("audio", datasets.Audio(decode=False))
    samples, _ = soundfile.read(io.BytesIO(loaded[0]["audio"]["bytes"]))
    assert np.abs(samples).max() > 0.01


def test_lineage_leads_from_a_row_to_parameters(inline: Path) -> None:
    lineage = pq.read_table(inline / "corpus/lineage.parquet")["lineage_id"].to_pylist()
    assert {r["lineage_id"] for r in rows(inline)} <= set(lineage)
    stages = pq.read_table(inline / "corpus/stages.parquet").to_pylist()
    parameters = {r["stage"]: json.loads(r["parameters"]) for r in stages}
    assert parameters["denoise"]["engine"] == "deepfilternet"
    assert len(parameters["transcribe"]["weights"]) == 32  # a hash of the files


def test_every_bad_input_is_one_row_and_harms_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "empty folder").mkdir(parents=True)
    good, rate = soundfile.read(RECORDINGS / "low_level_with_hum.flac")
    soundfile.write(folder / "good.flac", good[: 6 * rate], rate)
    (folder / "zero.wav").touch()
    (folder / "text.mp3").write_text(
        "this is no audio <script>alert(1)</script>\n" * 50, encoding="utf-8"
    )
    whole = (folder / "good.flac").read_bytes()
    (folder / "truncated.flac").write_bytes(whole[: len(whole) // 2])
    soundfile.write(folder / "silence.wav", np.zeros(rate * 2), rate)
    broken = np.full(rate, np.nan, dtype=np.float32)
    soundfile.write(folder / "nan.wav", broken, rate, subtype="FLOAT")
    manifest = tmp_path / "lines.jsonl"
    manifest.write_text(
        '{"audio": "in/good.flac"}\nnot json\n{"audio": "gone.wav"}\n', encoding="utf-8"
    )
    out = tmp_path / "out"
    arguments = (folder, manifest, folder / "empty folder", "--out", out, "--executor", "inline")
    done = wavemill("curate", *arguments)
    errors = pq.read_table(out / "corpus" / "errors.parquet").to_pylist()
    found = {(e["stage"], e["reason"], e["uri"].rsplit("/", 1)[-1]) for e in errors}
    assert found == {
        ("manifest", "empty_file", "zero.wav"),
        ("manifest", "not_audio", "text.mp3"),
        ("decode", "truncated", "truncated.flac"),
        ("decode", "silent", "silence.wav"),
        ("decode", "nan_samples", "nan.wav"),
        ("manifest", "bad_manifest_line", "lines.jsonl:2"),
        ("manifest", "file_missing", "lines.jsonl:3"),
        ("manifest", "no_audio_found", "empty folder"),
    }
    assert len(errors) == len(found)
    assert all(e["message"] for e in errors)
    assert "decode truncated" in done.stdout
    assert {r["source"].rsplit("/", 1)[-1] for r in rows(out)} == {"good.flac"}
    strict = wavemill("curate", *arguments, "--strict", check=False)
    assert strict.returncode == 1


def test_an_unreadable_file_is_a_row(tmp_path: Path) -> None:
    """Run as another user, since root may read everything."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    for parent in (tmp_path, *tmp_path.parents[:-1]):
        parent.chmod(parent.stat().st_mode | 0o055)
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    out.chmod(0o777)
    with wave.open(str(folder / "secret.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(range(256)) * 64)
    (folder / "secret.wav").chmod(0)
    # A first run as root imports everything: the other user may not even read the interpreter.
    code = (
        "import os, sys; from wavemill.jobs.curate import curate; from pathlib import Path;"
        "source, warm, out = sys.argv[1:];"
        "curate([source], Path(warm), overrides=['execution.executor=inline']);"
        "os.setgid(65534); os.setuid(65534);"
        "curate([source], Path(out), overrides=['execution.executor=inline'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(tmp_path / "warm"), str(out)],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "nothing of the sources could be used" in done.stdout
    (error,) = pq.read_table(out / "corpus" / "errors.parquet").to_pylist()
    assert (error["stage"], error["reason"]) == ("manifest", "permission_denied")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "filter.asr.min_snr=3"], "config: filter.asr.min_snr: there is no such field"),
        (["--set", "denoise.engine=magic"], "config: denoise.engine: "),
        (["--profile", "gold"], "there is no profile 'gold'"),
        (["--executor", "slurm"], "config: execution.executor: "),
        (["--workers", "0"], "config: execution.workers: "),
    ],
)
def test_wrong_settings_are_one_line_and_exit_2(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = wavemill("curate", RECORDINGS, "--out", tmp_path / "o", *arguments, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "o").exists()


def test_a_missing_source_is_one_line_and_exits_2(tmp_path: Path) -> None:
    done = wavemill("curate", tmp_path / "nowhere", "--out", tmp_path / "o", check=False)
    assert done.returncode == 2
    assert "nowhere" in done.stderr


def test_the_schemas_are_described() -> None:

    for name, schema in all_schemas().items():
        for column in schema:
            assert isinstance(column, pa.Field)
            assert (column.metadata or {}).get(b"description"), f"{name}.{column.name}"
