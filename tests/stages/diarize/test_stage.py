"""The stage: rows from the stored blocks of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.stages.diarize.sound import RATE, Script, ScriptConfig
from tests.support import MemoryUpstream, audio_folder, stored_tables
from wavemill.manifests.recording import Item, Recording
from wavemill.stages.audio.flac import encode_flac
from wavemill.stages.audio.version import AudioVersion
from wavemill.stages.diarize.engine import Diarization, TrackAudio, Turn
from wavemill.stages.diarize.engines import ENGINES
from wavemill.stages.diarize.spans import Span
from wavemill.stages.diarize.stage import SCHEMA, Config, Diarize, DiarizeSettings

RECORDING = Recording("ab" * 16, "talk.flac", 60_000)


def upstream_of(*tracks: np.ndarray) -> MemoryUpstream:
    """Stored blocks of a minute, both versions; the original is silent."""
    rows = []
    for start in range(0, len(tracks[0]), 60 * RATE):
        for track, samples in enumerate(tracks):
            block = samples[start : start + 60 * RATE]
            for version, audio in (("original", np.zeros_like(block)), ("enhanced", block)):
                rows.append(
                    {
                        "recording_id": RECORDING.recording_id,
                        "track": track,
                        "version": version,
                        "start_ms": start * 1000 // RATE,
                        "end_ms": (start + len(block)) * 1000 // RATE,
                        "sample_rate": RATE,
                        "missing": [],
                        "audio": encode_flac(audio.astype(np.float32), RATE),
                    }
                )
    return MemoryUpstream(RECORDING.recording_id, stored_tables(rows))


def scripted(*turns: Turn, overlap: tuple[tuple[int, int], ...] = ()) -> Diarize:
    engine = type("Scripted", (Script,), {"turns": turns, "overlap": overlap})(ScriptConfig())
    return Diarize(DiarizeSettings(engine="campplus", reads="enhanced"), engine=engine)


def rows_of(
    stage: Diarize, upstream: MemoryUpstream, recording: Recording = RECORDING
) -> list[dict]:
    return [row for batch in stage(recording, upstream) for row in batch.to_pylist()]


SILENT_MINUTE = np.zeros(60 * RATE, np.float32)


def test_rows_are_numbered_and_speakers_named_by_first_appearance() -> None:
    stage = scripted(Turn(1000, 3000, 5), Turn(3000, 6000, 2), Turn(9000, 12_000, 5))
    rows = rows_of(stage, upstream_of(SILENT_MINUTE))
    assert [(r["start_ms"], r["end_ms"], r["speaker"]) for r in rows] == [
        (1000, 3000, "S00"),
        (3000, 6000, "S01"),
        (9000, 12_000, "S00"),
    ]
    assert [r["segment_index"] for r in rows] == [0, 1, 2]
    assert rows[0]["segment_id"] == f"{RECORDING.recording_id}-0-1000-3000"
    assert all(r["speaker_similarity"] == pytest.approx(1, abs=1e-5) for r in rows)
    assert [r["overlap_ratio"] for r in rows] == [0, 0, 0]


def test_speech_inside_does_not_count_the_silence_that_was_joined() -> None:
    stage = scripted(Turn(0, 1000, 0), Turn(2500, 4000, 0))
    (row,) = rows_of(stage, upstream_of(SILENT_MINUTE))
    assert (row["start_ms"], row["end_ms"], row["speech_ms"]) == (0, 4000, 2500)


def test_overlap_is_a_share_of_the_segment() -> None:
    stage = scripted(Turn(0, 4000, 0), overlap=((1000, 2000), (3900, 5000)))
    (row,) = rows_of(stage, upstream_of(SILENT_MINUTE))
    assert row["overlap_ratio"] == pytest.approx(1100 / 4000)


def test_tracks_have_speakers_of_their_own() -> None:
    stage = scripted(Turn(0, 2000, 0), Turn(4000, 6000, 1))
    rows = rows_of(stage, upstream_of(SILENT_MINUTE, SILENT_MINUTE))
    assert [(r["track"], r["start_ms"], r["speaker"]) for r in rows] == [
        (0, 0, "S00"),
        (1, 0, "S01"),
        (0, 4000, "S02"),
        (1, 4000, "S03"),
    ]


def test_a_chunk_of_another_voice_goes_to_its_speaker() -> None:
    # The engine gave the first speaker's turn 1.5 s of the second speaker.
    true = (Turn(0, 4500, 0), Turn(4500, 12_000, 1))
    stage = scripted(*true)
    found = stage.engine.diarize(None)  # type: ignore[arg-type]
    wrong = replace(found, turns=(Turn(0, 6000, 0), Turn(6000, 12_000, 1)))
    stage.engine.diarize = lambda *_: wrong  # type: ignore[method-assign]
    rows = rows_of(stage, upstream_of(SILENT_MINUTE))
    assert [(r["start_ms"], r["end_ms"], r["speaker"]) for r in rows] == [
        (0, 4500, "S00"),
        (4500, 12_000, "S01"),
    ]


def test_long_speech_is_cut_where_the_audio_is_quiet() -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 40 * RATE)
    samples[22 * RATE : int(22.3 * RATE)] = 0
    stage = scripted(Turn(0, 40_000, 0))
    rows = rows_of(stage, upstream_of(samples))
    assert len(rows) == 2
    assert 22_000 <= rows[0]["end_ms"] <= 22_300
    assert rows[0]["end_ms"] == rows[1]["start_ms"]


def test_regions_restrict_speech() -> None:
    stage = scripted(Turn(0, 10_000, 0), Turn(20_000, 25_000, 1))
    recording = replace(RECORDING, regions=((5000, 8000), (7000, 9000)))
    (row,) = rows_of(stage, upstream_of(SILENT_MINUTE), recording)
    assert (row["start_ms"], row["end_ms"]) == (5000, 9000)


def test_no_segment_reaches_over_what_a_manifest_leaves_out() -> None:
    """Found by the accounting: a gap between regions below the report's 2 s was bridged."""
    stage = scripted(Turn(0, 10_000, 0))
    recording = replace(RECORDING, regions=((1000, 4000), (5500, 9000)))
    found = rows_of(stage, upstream_of(SILENT_MINUTE), recording)
    assert [(r["start_ms"], r["end_ms"]) for r in found] == [(1000, 4000), (5500, 9000)]


def test_a_labelled_recording_yields_nothing() -> None:
    recording = replace(RECORDING, items=(Item("i", 0, 1000, text="hello"),))
    assert rows_of(scripted(Turn(0, 1000, 0)), upstream_of(SILENT_MINUTE), recording) == []


def test_config_names_the_engines_thresholds() -> None:
    config = Config(campplus={"merge_similarity": 0.7})  # type: ignore[call-arg]
    assert config.campplus.merge_similarity == 0.7  # type: ignore[attr-defined]
    assert set(ENGINES) == {"campplus", "pyannote"}
    with pytest.raises(ValueError, match="unknown engine"):
        Config(engine="nobody")


def test_silence_has_no_segments_and_real_speech_has() -> None:
    import soundfile

    stage = Diarize.build(Config(reads="enhanced"), "cpu")
    assert list(stage(RECORDING, upstream_of(SILENT_MINUTE))) == []
    path = audio_folder() / "meetings" / "sample.flac"
    audio, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE
    batches = list(stage(RECORDING, upstream_of(audio)))
    assert all(batch.schema == SCHEMA for batch in batches)
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert {row["speaker"] for row in rows} == {"S00", "S01"}  # two people on the telephone
    assert all(row["end_ms"] - row["start_ms"] <= 27_000 for row in rows)
    again = [row for batch in stage(RECORDING, upstream_of(audio)) for row in batch.to_pylist()]
    assert rows == again


@pytest.mark.parametrize(("reads", "level"), [("original", 0.0), ("enhanced", 0.5)])
def test_reads_says_which_audio_is_diarized(reads: AudioVersion, level: float) -> None:
    heard: list[float] = []

    class Hears(Script):
        def diarize(self, track: TrackAudio, regions: Sequence[Span] = ()) -> Diarization:
            heard.append(float(track.read(0, 1000).max()))
            return super().diarize(track, regions)

    stage = Diarize(DiarizeSettings(engine="campplus", reads=reads), engine=Hears(ScriptConfig()))
    rows_of(stage, upstream_of(SILENT_MINUTE + np.float32(0.5)))
    assert heard == [pytest.approx(level, abs=1e-3)]
