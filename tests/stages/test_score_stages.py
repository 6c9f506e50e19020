"""The scoring stages over recordings in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from tests.stages.verdict.scores import Labelled, judged
from tests.support import MemoryUpstream
from wavemill.manifests.identify import content_id
from wavemill.manifests.recording import Item, Recording, Task
from wavemill.stages.audio.block_table import STAGE_OF
from wavemill.stages.audio.flac import encode_flac
from wavemill.stages.audio.version import AudioVersionSettings, choose_audio_version
from wavemill.stages.engine import EngineConfig
from wavemill.stages.recording_stage import RecordingError, SpanError
from wavemill.stages.score_audio.engine import Quality, QualityEngine
from wavemill.stages.score_audio.stage import ScoreAudio
from wavemill.stages.score_signal.stage import ScoreSignal
from wavemill.stages.score_text.stage import ScoreText
from wavemill.stages.stage import SharedSettings
from wavemill.stages.verdict.stage import join_scores

RATE = 16_000
DIARIZE = [
    {"segment_id": "r-0-0-2000", "segment_index": 0, "start_ms": 0, "end_ms": 2000},
    {"segment_id": "r-0-2000-3000", "segment_index": 1, "start_ms": 2000, "end_ms": 3000},
]


class Loudness(QualityEngine[EngineConfig]):
    """A quality that can be told by hand: the peak of the clip."""

    name = "loudness"

    @property
    def sample_rate(self) -> int:
        return RATE

    def weights_identity(self) -> str:
        return "none"

    def load(self, device: str) -> None:
        del device

    def quality(self, clips: Sequence[np.ndarray]) -> list[Quality]:
        return [Quality(float(abs(clip).max()), len(clip) / RATE, 0.0) for clip in clips]


def upstream() -> MemoryUpstream:
    """Three seconds of each version, the enhanced one half as loud, in two segments."""
    time = np.arange(3 * RATE) / RATE
    audio = (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    blocks = {
        STAGE_OF[version]: {
            "recording_id": "r",
            "track": 0,
            "version": version,
            "start_ms": 0,
            "end_ms": 3000,
            "sample_rate": RATE,
            "missing": [],
            "audio": encode_flac(gain * audio, RATE),
            "inverted_channels": [1],
        }
        for version, gain in (("original", 1.0), ("enhanced", 0.5))
    }
    diarize = [
        row
        | {
            "recording_id": "r",
            "track": 0,
            "speaker": "S00",
            "speech_ms": 1000,
            "overlap_ratio": 0.25,
            "speaker_similarity": 0.9,
        }
        for row in DIARIZE
    ]
    transcribe = [
        {
            "recording_id": "r",
            "segment_id": row["segment_id"],
            "text": text,
            "language": "en",
            "language_probability": None,
            "asr_confidence": 0.7,
            "avg_logprob": None,
            "no_speech_prob": None,
            "compression_ratio": own,
        }
        for row, text, own in zip(DIARIZE, ("one two one two", ""), (1.7, None), strict=True)
    ]
    rows = {stage: [block] for stage, block in blocks.items()}
    rows |= {"diarize": diarize, "transcribe": transcribe}
    return MemoryUpstream("r", {name: pa.Table.from_pylist(some) for name, some in rows.items()})


RAW = Recording("r", "r.wav", 3000)


def scored(
    recording: Recording, shared: SharedSettings, tables: MemoryUpstream
) -> tuple[list[pa.Table], list[SpanError]]:
    """Return the tables of score_audio and score_signal, and the spans that they name."""
    audio = ScoreAudio(ScoreAudio.Settings(), shared, Loudness(EngineConfig()))
    found = list(audio(recording, tables))
    spans = [one for one in found if isinstance(one, SpanError)]
    rated = pa.Table.from_batches(
        [one for one in found if isinstance(one, pa.RecordBatch)], schema=ScoreAudio.schema
    )
    signal = ScoreSignal(ScoreSignal.Settings(), shared)
    tables = MemoryUpstream(recording.recording_id, {**tables.tables, "score_audio": rated})
    measured = pa.Table.from_batches(signal(recording, tables), schema=ScoreSignal.schema)
    return [rated, measured], spans


def score_tables(recording: Recording, seed: int = 0, share: float = 0.5) -> list[pa.Table]:
    version = AudioVersionSettings(seed=seed, enhanced_share=share)
    return scored(recording, SharedSettings(audio_version=version), upstream())[0]


def audio_rows(recording: Recording, seed: int = 0, share: float = 0.5) -> list[dict]:
    return join_scores(score_tables(recording, seed, share)).to_pylist()


@pytest.mark.parametrize(
    ("share", "version", "peak"), [(0, "original", 0.5), (1, "enhanced", 0.25)]
)
def test_the_chosen_version_is_scored(share: float, version: str, peak: float) -> None:
    first, second = audio_rows(RAW, share=share)
    assert {first["audio_version"], second["audio_version"]} == {version}
    assert first["dnsmos_overall"] == pytest.approx(peak, abs=0.01)
    assert (first["dnsmos_signal"], second["dnsmos_signal"]) == (2.0, 1.0)  # seconds that it heard
    assert first["missing_ratio"] == first["clipping_ratio"] == 0.0


@pytest.mark.parametrize("share", [0, 1])
def test_clipping_is_that_of_the_original(share: float) -> None:
    """A denoiser rounds what was cut off, which does not bring it back."""
    tables = upstream()
    time = np.arange(3 * RATE) / RATE
    clipped = np.clip(np.sin(2 * np.pi * 440 * time), -0.5, 0.5).astype(np.float32)
    (block,) = tables.tables[STAGE_OF["original"]].to_pylist()
    block["audio"] = encode_flac(clipped, RATE)
    changed = {**tables.tables, STAGE_OF["original"]: pa.Table.from_pylist([block])}
    shared = SharedSettings(audio_version=AudioVersionSettings(seed=0, enhanced_share=share))
    found, _ = scored(RAW, shared, MemoryUpstream("r", changed))
    assert all(row["clipping_ratio"] > 0.01 for row in join_scores(found).to_pylist())


def test_the_version_depends_on_the_seed() -> None:
    for seed in range(4):
        assert audio_rows(RAW, seed)[0]["audio_version"] == choose_audio_version(
            RAW, AudioVersionSettings(seed=seed)
        )


def labelled(path: Path, *items: Item) -> Recording:
    audio = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    soundfile.write(path, audio, RATE)
    return Recording(content_id(str(path)), str(path), 1000, items=items, language="de")


def test_items_are_scored_in_the_original_and_what_is_missing_is_told(tmp_path: Path) -> None:
    recording = labelled(
        tmp_path / "a.wav", Item("a", 0, 500), Item("b", 500, 1500), Item("c", 5000, 6000)
    )
    whole, half, outside = audio_rows(recording, share=1.0)
    assert whole["audio_version"] == "original"
    assert whole["missing_ratio"] == 0.0
    assert half["missing_ratio"] == pytest.approx(0.5)
    assert half["dnsmos_signal"] == 0.5
    assert outside["missing_ratio"] == 1.0
    assert outside["dnsmos_overall"] is outside["snr_db"] is None


def test_clips_of_channels_and_of_their_mix(tmp_path: Path) -> None:
    """Each has its own level, and what was turned over in the mix is told."""
    voice = 0.1 * np.random.default_rng(0).standard_normal(3 * RATE)
    soundfile.write(tmp_path / "a.wav", np.stack([voice, -voice / 2], axis=1), RATE)
    items = (Item("a", 0, 2000), Item("b", 0, 2000, channel=0), Item("c", 0, 2000, channel=1))
    rows = audio_rows(
        Recording(content_id(str(tmp_path / "a.wav")), str(tmp_path / "a.wav"), 3000, items=items)
    )
    mix, left, right = sorted(rows, key=lambda row: row["segment_id"])
    assert [row["inverted_channels"] for row in (mix, left, right)] == [[1], [], []]
    assert mix["peak_dbfs"] - left["peak_dbfs"] == pytest.approx(20 * np.log10(0.75), abs=0.1)
    assert right["peak_dbfs"] - left["peak_dbfs"] == pytest.approx(20 * np.log10(0.5), abs=0.1)
    assert audio_rows(RAW)[0]["inverted_channels"] == [1]


@pytest.mark.parametrize("task", list(Task))
def test_a_labelled_clip_that_is_silent_is_never_kept(tmp_path: Path, task: str) -> None:
    audio = 0.1 * np.random.default_rng(0).standard_normal((2 * RATE, 2))
    audio[:RATE] = 0
    audio[: RATE // 2, 1] = 1 / 32768  # a step of 16 bit is no sound
    soundfile.write(tmp_path / "a.wav", audio, RATE)
    label = {"task": task, "text": "seven", "question": "what?", "answer": "seven"}
    items = [
        Item(f"{start}{channel}", start, start + 400, channel=channel, **label)
        for start in (0, 500, 1200)
        for channel in (None, 0, 1)
    ]
    recording = Recording(
        content_id(str(tmp_path / "a.wav")), str(tmp_path / "a.wav"), 2000, items=tuple(items)
    )
    text = pa.Table.from_pylist(text_rows(recording, upstream()), schema=ScoreText.schema)
    scores = join_scores([*score_tables(recording), text])
    found = judged(scores).to_pylist()
    assert [row["kept"] for row in found] == [False] * 6 + [True] * 3
    assert {broken["rule"] for row in found for broken in row["broken"]} == {"silent"}
    off = Labelled(min_peak_dbfs=None)
    assert all(row["kept"] for row in judged(scores, labelled=off).to_pylist())


def text_rows(recording: Recording, tables: MemoryUpstream) -> list[dict]:
    stage = ScoreText.build(ScoreText.Settings(ngram=2))
    return pa.Table.from_batches(stage(recording, tables), schema=ScoreText.schema).to_pylist()


def test_text_scores_of_a_raw_recording() -> None:
    first, second = text_rows(RAW, upstream())
    assert first["text_source"] == "asr"
    assert first["duration_s"] == 2.0
    assert first["speech_ratio"] == 0.5
    assert first["overlap_ratio"] == 0.25
    assert first["text_length"] == 12
    assert first["chars_per_second"] == 6.0
    assert first["words_per_second"] == 2.0
    assert first["repeated_ngram_ratio"] == pytest.approx(1 / 3)
    assert first["compression_ratio"] == 1.7  # the transcriber's own
    assert first["asr_confidence"] == 0.7
    assert (second["text_length"], second["compression_ratio"]) == (0, None)


@pytest.mark.parametrize(
    ("stated", "language", "probability"),
    [(None, "en", None), ("en", "en", None), ("zh", "zh", 0.0)],
)
def test_an_engine_that_assumes_another_language_than_the_manifest_states(
    stated: str | None, language: str, probability: float | None
) -> None:
    for row in text_rows(replace(RAW, language=stated), upstream()):
        assert (row["language"], row["language_probability"]) == (language, probability)


def test_text_scores_of_labelled_items(tmp_path: Path) -> None:
    recording = labelled(
        tmp_path / "a.wav",
        Item("a", 0, 500, text="seven", language="en"),
        Item("b", 500, 1000, answer="a dog"),
    )
    spoken, event = text_rows(recording, upstream())
    assert spoken["text_source"] == event["text_source"] == "manifest"
    assert spoken["speech_ratio"] is spoken["asr_confidence"] is None
    assert spoken["words_per_second"] == 2.0
    assert (spoken["language"], event["language"]) == ("en", "de")
    assert event["text_length"] is event["words_per_second"] is None


def test_a_segment_without_a_transcript_is_an_error() -> None:
    tables = upstream()
    tables.tables = dict(tables.tables) | {"transcribe": tables.tables["transcribe"].slice(0, 1)}
    with pytest.raises(RecordingError) as error:
        text_rows(RAW, tables)
    assert error.value.reason == "missing_transcript"
