from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from typer.testing import CliRunner

from tests.model.data.made import segment_row, write
from wavemill.jobs.cli import app


def voice_row(recording: int, index: int, speaker: str, **changes: Any) -> dict[str, Any]:
    good = {"duration": 4.0, "dnsmos_overall": 3.2, "snr_db": 30.0, "speaker_similarity": 0.8,
            "overlap_ratio": 0.0, "license": "CC0", "split": "train"}  # fmt: skip
    return segment_row(recording, index, speaker=speaker, **(good | changes))


def wavemill(*told: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in told], catch_exceptions=False)
    return done.exit_code, done.output


def test_the_best_clean_stretches_of_each_speaker(tmp_path: Path) -> None:
    rows = [
        voice_row(1, 0, "S1"),
        voice_row(1, 1, "S1", dnsmos_overall=3.6),
        voice_row(1, 2, "S2", duration=2.0),
        voice_row(2, 0, "S1", dnsmos_overall=None, snr_db=None),
        voice_row(2, 1, "S2", dnsmos_overall=2.0),
        voice_row(2, 2, "S3", license="CC-BY-NC"),
        voice_row(3, 0, "S1", overlap_ratio=0.3),
        voice_row(4, 0, "anna", text_source="manifest"),
        voice_row(5, 0, "anna", text_source="manifest", split="test"),
        voice_row(6, 0, "bob", text_source="manifest", split="test"),
    ]
    work = write(tmp_path / "work", "pretrain", [rows[:4], rows[4:]])
    out = tmp_path / "voices.parquet"
    code, said = wavemill("voices", work, "--license", "CC0", "--out", out)
    assert code == 0
    assert "3 prompts of 3 speakers" in said
    assert "in_several_splits: 2 segments" in said
    found = {row["voice"]: row for row in pq.read_table(out).to_pylist()}
    assert found.keys() == {"r1/S1", "r2/S1", "bob"}
    assert found["r1/S1"]["segment_id"] == "r1-1"
    assert found["r1/S1"]["audio"]["bytes"] == rows[1]["audio"]["bytes"]
    assert found["bob"]["split"] == "test"
    assert found["r2/S1"]["semantic_tokens"] == rows[3]["semantic_tokens"]


def test_no_prompt_is_an_exit_code(tmp_path: Path) -> None:
    work = write(tmp_path / "work", "pretrain", [[voice_row(1, 0, "S1", duration=1.0)]])
    code, said = wavemill("voices", work, "--out", tmp_path / "voices.parquet")
    assert code == 1
    assert "too_short: 1 segments" in said
