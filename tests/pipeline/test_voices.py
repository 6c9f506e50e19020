"""Which segments of a corpus are voices to speak in, and what is said of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import dataset

from tests.command import wavemill
from tests.model.data.made import segment_row
from tests.pipeline.quality.support import Shard, recording, write_workdir
from wavemill.pipeline.curation import all_schemas
from wavemill.pipeline.voices import VoiceRules, Voices, find_voices
from wavemill.stages.speak.voices import SCHEMA

GOOD = {
    "duration": 5.0, "dnsmos_overall": 3.4, "snr_db": 30.0, "asr_confidence": 0.9,
    "speaker_similarity": 0.8, "overlap_ratio": 0.0, "license": "CC0-1.0", "split": "train",
}  # fmt: skip


def segment(recording: int, index: int = 0, **changes: Any) -> dict[str, Any]:
    return segment_row(recording, index, **{**GOOD, **changes})


def found(*rows: dict[str, Any], **rules: Any) -> Voices:
    table = pa.Table.from_pylist(list(rows), schema=all_schemas()["pretrain"])
    return find_voices(dataset.dataset(table), VoiceRules(**rules))


def ids(voices: Voices) -> list[str]:
    return sorted(voices.table["segment_id"].to_pylist())


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"duration": 2.9}, "too short"),
        ({"duration": 10.1}, "too long"),
        ({"dnsmos_overall": 2.9}, "low DNSMOS"),
        ({"snr_db": 19.0}, "noisy"),
        ({"asr_confidence": 0.7}, "text not sure"),
        ({"speaker_similarity": 0.5}, "speaker not sure"),
        ({"overlap_ratio": 0.1}, "overlap"),
        ({"text": " "}, "no text"),
        ({"license": "CC-BY-NC-4.0"}, "licence"),
        ({"license": None}, "licence"),
    ],
)
def test_each_rule_leaves_out_and_says_so(change: dict[str, Any], rule: str) -> None:
    voices = found(segment(1), segment(2, **change), licenses=("CC0-1.0",))
    assert ids(voices) == ["r1-0"]
    assert (voices.segments, voices.left_out) == (2, {rule: 1})


def test_scores_that_are_not_known_pass_and_any_licence_does_by_default() -> None:
    unknown = dict.fromkeys(("asr_confidence", "dnsmos_overall", "overlap_ratio", "license"))
    assert ids(found(segment(1, **unknown))) == ["r1-0"]


def test_the_clearest_of_each_speaker_are_taken() -> None:
    rows = [
        segment(1, 0, dnsmos_overall=3.1), segment(1, 1, dnsmos_overall=3.9),
        segment(1, 2, speaker="two"), segment(2, 0, dnsmos_overall=3.2),
    ]  # fmt: skip
    assert ids(found(*rows)) == ["r1-1", "r1-2", "r2-0"]  # a label holds in its recording
    assert len(ids(found(*rows, per_speaker=2))) == 4
    named = [{**row, "text_source": "manifest", "speaker": "anna"} for row in rows]
    assert ids(found(*named)) == ["r1-1"]  # the manifest's in all of them
    nobody = [{**row, "speaker": "S00"} for row in named]
    assert ids(found(*nobody)) == ["r1-1", "r2-0"]


def test_a_speaker_in_several_splits_is_in_none() -> None:
    named = {"text_source": "manifest", "speaker": "anna"}
    rows = [segment(1, **named), segment(2, split="test", **named), segment(3, split="test")]
    voices = found(*rows)
    assert ids(voices) == ["r3-0"]
    assert voices.left_out == {"speaker in several splits": 2}


def test_a_voice_has_its_sound_and_keeps_its_name() -> None:
    row = segment(1, split="test")
    first, again = found(row), found(segment(2), row)
    assert first.table.schema == SCHEMA
    (voice,) = first.table.to_pylist()
    assert voice["audio"]["bytes"] == row["audio"]["bytes"]
    assert (voice["text"], voice["split"], voice["license"]) == (row["text"], "test", "CC0-1.0")
    assert voice["voice"] in again.table["voice"].to_pylist()
    assert len(set(again.table["voice"].to_pylist())) == 2


def test_the_command_writes_a_file_or_says_why_not(tmp_path: Path) -> None:
    out = tmp_path / "voices.parquet"
    rows = [segment(1), segment(2, split="test"), segment(3, duration=1.0)]
    shard = Shard(recordings=[recording(1)])
    shard.rows["pretrain"] = rows
    write_workdir(tmp_path / "work", [shard])
    done = wavemill("voices", tmp_path / "work", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "left out: 1 of 3 segments: too short" in done.stdout
    assert "splits: 1 test, 1 train" in done.stdout or "splits: 1 train, 1 test" in done.stdout
    assert pq.read_table(out).num_rows == 2
    out.unlink()
    done = wavemill("voices", tmp_path / "work", "--out", out, "--set", "shortest_s=9")
    assert (done.returncode, out.exists()) == (2, False)
    assert "no segment is fit to be a voice" in done.stderr
    done = wavemill("voices", tmp_path / "work", "--set", "shortest=9")
    assert done.returncode == 2
    assert "--set shortest: " in done.stderr
