"""The real stages on a recording that is worked on in pieces: the rows of one worker."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile

from tests.support import ROOT
from wavemill.pipeline.build import build_corpus
from wavemill.pipeline.config import load_config
from wavemill.pipeline.curation import Config
from wavemill.pipeline.piece import Piece
from wavemill.pipeline.store import Store

PIECE_SECONDS = 4.0


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    samples, rate = soundfile.read(ROOT / "examples/recordings/clean_dialogue.flac")
    soundfile.write(folder / "long.flac", samples[: 20 * rate], rate)
    return folder


def rows(folder: Path, out: Path, piece_seconds: float) -> dict[str, list[dict[str, object]]]:
    """Build; return the rows of every stage, in their order, without what names the run."""
    chosen = [
        "execution.executor=inline",
        f"execution.piece_seconds={piece_seconds}",
        "diarize.max_segment_ms=2000",
        "transcribe.batch_size=2",
    ]
    build_corpus([str(folder)], str(out), load_config(Config, overrides=chosen), "test")
    assert not [f.key for f in Store.open(out).files("stages") if f.key.endswith(".tmp")]
    found: dict[str, list[dict[str, object]]] = {}
    for path in sorted(out.glob("stages/*/*/*.parquet")):
        found.setdefault(path.parent.parent.name, []).extend(pq.read_table(path).to_pylist())
    return found


def test_real_stages_make_the_same_rows_in_pieces(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rows(recordings, tmp_path / "whole", 1000.0)
    made: dict[str, int] = {}
    original = Piece.__init__

    def counted(self: Piece, recording_id: str, stage: str, *rest: object) -> None:
        made[stage] = made.get(stage, 0) + 1
        original(self, recording_id, stage, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Piece, "__init__", counted)
    pieces = rows(recordings, tmp_path / "pieces", PIECE_SECONDS)
    assert made["diarize"] >= 6  # of transcribe, score_audio and score_signal
    assert len(whole["transcribe"]) >= 6
    assert whole["pretrain"]
    assert pieces == whole
